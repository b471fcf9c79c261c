"""Somebody has the database host and wants the backups gone: what of that can be done from there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.backups import Backups
from shared.sql import Endpoints

ARCHIVE, KEPT = "/var/lib/pgbackrest/archive", "/root/archive-before"
SUMS = "find /var/lib/pgbackrest/backup -type f | sort | xargs sha256sum"


@pytest.fixture(scope="class")
def attacked(backups: Backups) -> Iterator[tuple[str, str, str]]:
    """All is deleted that pgBackRest lets the database host delete; the backups before it, after it, what was said."""
    backups.keeper.sh("bundle-backup full 2>&1", timeout=180)
    before = backups.keeper.sh(SUMS)
    # Nobody archives meanwhile, and afterwards the archive is as it was.
    backups.database.sh("systemctl stop postgresql@15-main", timeout=60)
    backups.keeper.sh(f"rm -rf {KEPT} && cp -a {ARCHIVE} {KEPT}")
    try:
        backups.pgbackrest(backups.database, "stop")
        said = backups.pgbackrest(backups.database, "--force", "stanza-delete", ok=(60,))
        # Whatever that left: archived WAL is not out of reach.
        backups.keeper.sh(f"rm -rf {ARCHIVE}/*")
        yield before, backups.keeper.sh(SUMS), said
    finally:
        backups.pgbackrest(backups.database, "start")
        backups.keeper.sh(f"rm -rf {ARCHIVE}/* && cp -a {KEPT}/. {ARCHIVE}/ && rm -rf {KEPT}")
        backups.database.sh("systemctl start postgresql@15-main", timeout=60)


class TestBeforeTheArchiveIsBack:
    """While all is gone that could be deleted."""

    def test_no_backup_can_be_deleted_or_changed_from_the_database_host(
        self, attacked: tuple[str, str, str]
    ) -> None:
        before, after, said = attacked
        assert after == before != ""
        assert "Read-only file system" in said

    def test_backup_is_restored_without_any_archived_wal(
        self, attacked: tuple[str, str, str], backups: Backups
    ) -> None:
        with backups.restored(backups.keeper, "--type=immediate", "--target-action=promote") as restored:
            assert restored("SELECT count(*) FROM alembic_version") == "1"


def test_archiving_goes_on_afterwards(backups: Backups, sql: Endpoints) -> None:
    assert sql.superuser("SELECT 1") == "1"
    backups.arrives(backups.switch())
