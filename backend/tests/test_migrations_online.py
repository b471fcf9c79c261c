"""Migrations change tables in use: who writes goes on, and a lock that is not to be had is given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy
import sqlalchemy.exc

from harness.checksums import checksums, columns
from harness.cluster import Database
from harness.locks import shut, watched
from harness.migrations import (
    current,
    downgrade,
    dump,
    migrate,
    migrator,
    online_revisions,
    parent_of,
    upgrade,
)
from harness.sample import fill
from harness.wait import until
from harness.writers import Writers

LOCK_NOT_AVAILABLE = "55P03"
IMPATIENT = "-c lock_timeout=200ms"

# The migration that needs a table for itself, the table, and the lock of somebody who is using it.
NEEDED = [
    ("h8c2d6e5f4g3", "accounts", "ACCESS SHARE"),
    ("h8c2d6e5f4g3", "verification_tokens", "ACCESS SHARE"),
    ("i9d3e7f6g5h4", "jobs", "ACCESS SHARE"),
    ("i9d3e7f6g5h4", "candidates", "ACCESS SHARE"),
    ("l3g6h1i9j8k7", "users", "ACCESS SHARE"),
    ("l3g6h1i9j8k7", "jobs", "ACCESS SHARE"),
    ("l3g6h1i9j8k7", "job_applications", "ACCESS SHARE"),
    ("m4h7i2j1k9l8", "accounts", "ACCESS SHARE"),
    ("m4h7i2j1k9l8", "users", "ROW EXCLUSIVE"),
]
BUILDS = [
    ("h8c2d6e5f4g3", "job_applications"),
    ("j1e4f8g7h6i5", "jobs"),
    ("k2f5g9h8i7j6", "jobs"),
    ("m4h7i2j1k9l8", "notifications"),
    ("n5i8j3k2l1m9", "jobs"),
]
BUILDING = """
SELECT FROM pg_stat_activity
WHERE datname = %s AND wait_event_type = 'Lock' AND query ~ '^CREATE (UNIQUE )?INDEX CONCURRENTLY'
"""
# Both were there before the rule of one table at a time, and are held for two changes of the catalog.
TOGETHER = {"h8c2d6e5f4g3": {"accounts", "verification_tokens"}}


@pytest.fixture
def database(empty_database: Database, revision: str) -> Database:
    """A database with rows, before the revision of the test."""
    upgrade(empty_database, parent_of(revision))
    fill(empty_database)
    return empty_database


@contextmanager
def using(database: Database, table: str, mode: str) -> Iterator[None]:
    """Somebody's open transaction that has used a table."""
    with database.connect() as somebody, somebody.transaction():
        somebody.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield


def tables(database: Database) -> list[str]:
    return [name for (name,) in database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]


@pytest.mark.parametrize(("revision", "table", "mode"), NEEDED)
def test_migration_gives_up_a_table_that_is_in_use_and_can_be_run_again(
    database: Database, revision: str, table: str, mode: str
) -> None:
    held = columns(database)
    rows = checksums(database, held)
    with using(database, table, mode):
        with pytest.raises(sqlalchemy.exc.DBAPIError) as refused:
            migrate(migrator(database, IMPATIENT), "upgrade", revision)
        assert isinstance(refused.value.orig, psycopg.Error)
        assert refused.value.orig.sqlstate == LOCK_NOT_AVAILABLE
        assert current(database) == parent_of(revision)
        assert shut(database, [*held]) == []
    upgrade(database, revision)
    assert current(database) == revision
    assert checksums(database, held) == rows


@pytest.mark.parametrize(("revision", "table", "mode"), NEEDED)
def test_schema_after_giving_up_and_running_again_is_the_same(
    database: Database, revision: str, table: str, mode: str
) -> None:
    with using(database, table, mode), pytest.raises(sqlalchemy.exc.DBAPIError):
        migrate(migrator(database, IMPATIENT), "upgrade", revision)
    upgrade(database, revision)
    again = dump(database)
    downgrade(database, parent_of(revision))
    upgrade(database, revision)
    assert dump(database) == again


@pytest.mark.parametrize(("revision", "table"), BUILDS)
def test_nobody_who_writes_waits_while_an_index_waits_for_an_older_transaction(
    database: Database, revision: str, table: str
) -> None:
    building = threading.Thread(target=upgrade, args=(database, revision))
    with using(database, table, "ROW EXCLUSIVE"):
        building.start()
        until(lambda: database.rows(BUILDING, database.name) or not building.is_alive(), "the build waits")
        assert shut(database, [name for name in tables(database) if name != "alembic_version"]) == []
    building.join()
    assert current(database) == revision


@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
@pytest.mark.parametrize("revision", online_revisions())
def test_one_table_at_a_time_is_closed_to_those_who_write(
    database: Database, revision: str, direction: str
) -> None:
    in_use = {*tables(database)}
    if direction == "downgrade":
        upgrade(database, revision)
    engine = migrator(database)
    with watched(engine, database) as held:
        migrate(engine, direction, revision if direction == "upgrade" else parent_of(revision))
    assert held
    together = [{*each} & in_use for each in held]
    assert [each for each in together if len(each) > 1 and each != TOGETHER.get(revision)] == []


@pytest.mark.parametrize("revision", online_revisions())
def test_transactions_go_on_through_up_and_down_without_an_error(database: Database, revision: str) -> None:
    engine = migrator(database, "-c lock_timeout=5s")
    with Writers(database) as writers:
        patiently(engine, "upgrade", revision)
        writers.go_on()
        patiently(engine, "downgrade", parent_of(revision))
        writers.go_on()
    assert writers.errors == []
    assert current(database) == parent_of(revision)


def patiently(engine: sqlalchemy.Engine, direction: str, revision: str) -> None:
    """As the bundle runs migrations: again, when a lock was not to be had in time."""

    def done() -> bool:
        try:
            migrate(engine, direction, revision)
        except sqlalchemy.exc.DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                return False
            raise
        return True

    until(done, f"{direction} to {revision}", seconds=120)
