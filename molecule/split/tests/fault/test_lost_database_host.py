"""The database host loses its power and its disk: what was acknowledged and is not in the repository."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.backups import Backups
from shared.landscape import Landscape
from shared.sql import Endpoints
from shared.wait import until
from shared.writes import TABLE, Acknowledged, Writes

# Cron ends a segment each minute, archive_timeout before that where it is heeded; the rest is what it takes to get it
# away on a machine that has other work.
BOUND_SECONDS = 60 + 15


@pytest.fixture(scope="module")
def acknowledged(backups: Backups, landscape: Landscape, sql: Endpoints) -> Iterator[Acknowledged]:
    """Rows are written until some are archived and more are not, then the power goes. The host is back afterwards.

    The server was started shortly before, which is when it does not heed archive_timeout by itself.
    """
    backups.database.sh("systemctl restart postgresql@15-main", timeout=60)
    with Writes(sql) as writes:
        first = sql.superuser("SELECT pg_walfile_name(pg_current_wal_lsn())")
        backups.arrives(first)
        until(lambda: len(writes.acknowledged().moments) > 100, seconds=60, what="100 rows")
        # Nobody ends a segment by hand: what gets away does so by archive_timeout.
        second = sql.superuser("SELECT pg_walfile_name(pg_current_wal_lsn())")
        backups.arrives(second)
        landscape.testbed("power-cut", backups.database.name)
        found = writes.acknowledged()
    yield found
    landscape.testbed("start", backups.database.name)
    until(lambda: sql.superuser("SELECT 1") == "1", seconds=120, what="the database after the power cut")
    sql.superuser(f"DROP TABLE {TABLE}")


def test_what_is_lost_with_the_host_is_no_more_than_a_minute_of_work(
    backups: Backups, acknowledged: Acknowledged
) -> None:
    with backups.restored(backups.keeper, "--type=default") as restored:
        there = int(restored(f"SELECT max(number) FROM {TABLE}"))
        assert restored(f"SELECT count(*) FROM {TABLE}") == str(there), "rows are missing in between"
    assert there > 0
    assert acknowledged.lost_seconds(there) <= BOUND_SECONDS


def test_nothing_is_lost_when_only_the_power_was(
    backups: Backups, acknowledged: Acknowledged, landscape: Landscape, sql: Endpoints
) -> None:
    landscape.testbed("start", backups.database.name)
    until(lambda: sql.superuser("SELECT 1") == "1", seconds=120, what="the database after the power cut")
    there = int(sql.superuser(f"SELECT max(number) FROM {TABLE}"))
    assert acknowledged.lost(there) == []
