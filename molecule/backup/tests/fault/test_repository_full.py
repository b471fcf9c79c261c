"""The repository has no room: the database goes on and keeps its WAL, and what is in the repository stays whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.machine import Machine
from shared.restores import DATA, REPOSITORY, Restores
from shared.sql import Superuser
from shared.wait import until

KEPT = f"{REPOSITORY}.kept"
# What a backup has no room for, and what will not be written again by whoever reads it.
BALLAST = (
    "CREATE TABLE ballast AS SELECT md5(random()::text) FROM generate_series(1, 500000)",
    "VACUUM (FREEZE, ANALYZE) ballast",
)
# On a file system of its own, with room for some WAL and no backup.
SMALL = f"""
set -e
mv {REPOSITORY} {KEPT}
mkdir {REPOSITORY}
mount -t tmpfs -o size=$(($(du -sm {KEPT} | cut -f 1) + 4))m,mode=750 small {REPOSITORY}
cp -a {KEPT}/. {REPOSITORY}/
"""
# And now something fills it to the last byte.
FILLED = f"dd if=/dev/zero of={REPOSITORY}/something-else bs=4k status=none"
LARGER = f"mount -o remount,size=1g {REPOSITORY}"
# With what came in meanwhile.
PUT_BACK = f"""
set -e
find {KEPT} -mindepth 1 -delete
cp -a {REPOSITORY}/. {KEPT}/
umount {REPOSITORY}
rmdir {REPOSITORY}
mv {KEPT} {REPOSITORY}
rm -f {REPOSITORY}/something-else
"""
ARCHIVED = "SELECT last_archived_wal FROM pg_stat_archiver"


class TestWhileItIsFull:
    """Its file system is full, in the middle of a backup and afterwards."""

    @pytest.fixture(scope="class", autouse=True)
    def full(self, backups: Restores, database: Machine, notes: Superuser) -> Iterator[dict[str, str]]:
        """What is in it when it is full; all of that is there at the end."""
        notes(*BALLAST)
        # With its WAL.
        backups.back_up("incr")
        database.sh(SMALL, timeout=60)
        stored = backups.stored()
        try:
            yield stored
            assert stored.items() <= backups.stored().items()
        finally:
            database.sh(PUT_BACK, timeout=60)
            notes("DROP TABLE ballast")

    def test_backup_fails_and_says_so(self, backups: Restores, database: Machine) -> None:
        database.sh("systemctl start backup@full", ok=(1,), timeout=120)
        said = database.journal("backup@full", lines=15)
        assert f"{REPOSITORY} is full" in said
        assert "half made, was removed, so that WAL gets away" in said
        assert backups.figures("backup_full")["bundle_backup_success"] == 0
        assert "backup full: the last one failed" in backups.verified("--quick")

    def test_wal_gets_out_after_a_backup_that_failed(self, database: Machine, notes: Superuser) -> None:
        notes("INSERT INTO notes VALUES ('after the backup')")
        segment = notes("SELECT pg_walfile_name(pg_switch_wal())")
        until(lambda: notes(ARCHIVED) >= segment, seconds=90, what="the segment in the archive")

    def test_wal_is_kept_when_there_is_no_room_at_all(
        self, backups: Restores, database: Machine, notes: Superuser
    ) -> None:
        assert "No space left" in database.sh(f"{FILLED} 2>&1", ok=(1,))
        notes("INSERT INTO notes VALUES ('while it was full')")
        segment = notes("SELECT pg_walfile_name(pg_switch_wal())")
        failed = "SELECT coalesce(last_failed_wal, '') FROM pg_stat_archiver"
        until(lambda: notes(failed) >= segment, seconds=120, what="a failure of archiving")
        # As if it had waited for some minutes.
        database.sh(f"touch -d '3 minutes ago' {DATA}/main/pg_wal/archive_status/{segment}.ready")
        assert "WAL is kept since" in database.sh("bundle-archive-status", ok=(1, 2))

    def test_all_of_it_gets_out_and_the_next_backup_is_whole_once_there_is_room(
        self, backups: Restores, database: Machine, notes: Superuser
    ) -> None:
        database.sh(LARGER)
        # The archiver tries again once a minute, and at once when a segment ends that has something in it.
        notes("INSERT INTO notes VALUES ('there is room again')")
        segment = notes("SELECT pg_walfile_name(pg_switch_wal())")
        until(lambda: notes(ARCHIVED) >= segment, seconds=120, what="the WAL in the archive")
        backups.back_up("full")
        assert backups.figures("backup_full")["bundle_backup_success"] == 1
        assert [text for text in backups.verified() if "stale" not in text] == []
        database.sh("bundle-archive-status")
