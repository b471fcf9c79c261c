"""No migration waits for a lock without an end, whatever the role's settings are."""

from __future__ import annotations

import pytest

from app.migration_engine import migration_engine
from harness.cluster import Database
from harness.migrations import current, module, parent_of, upgrade


def shown(database: Database, url: str = "", *first: str) -> list[str]:
    """lock_timeout and work_mem of a session that migrations get, after some statements in it."""
    with migration_engine(url or database.url("migrator")).connect() as connection:
        for statement in first:
            connection.exec_driver_sql(statement)
        return [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("lock_timeout", "work_mem")
        ]


def set_for_the_role(database: Database, lock_timeout: str) -> None:
    """Give the migrator a lock timeout of its own in this database."""
    role = database.cluster.role("migrator")
    database.run(f"ALTER ROLE {role} IN DATABASE {database.name} SET lock_timeout = '{lock_timeout}'")


def test_a_role_without_a_lock_timeout_gets_one_that_outlasts_what_builds_set(
    empty_database: Database,
) -> None:
    assert shown(empty_database)[0] == "5s"
    assert shown(empty_database, "", "SET lock_timeout = '10min'", "RESET lock_timeout")[0] == "5s"


@pytest.mark.parametrize(("given", "wanted"), [("7s", "7s"), ("0", "5s")])
def test_the_lock_timeout_of_the_role_stays(empty_database: Database, given: str, wanted: str) -> None:
    set_for_the_role(empty_database, given)
    assert shown(empty_database)[0] == wanted


def test_what_else_the_session_is_told_stays(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{empty_database.url('migrator')}?options=-c%20work_mem%3D3MB"
    assert shown(empty_database, url) == ["5s", "3MB"]
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    assert shown(empty_database) == ["5s", "5MB"]
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB -c lock_timeout=9s")
    assert shown(empty_database) == ["9s", "5MB"]


def test_the_command_gives_up_a_table_that_is_in_use(empty_database: Database) -> None:
    """After it has built indexes, which may wait for minutes."""
    revision = "h8c2d6e5f4g3"
    upgrade(empty_database, parent_of(revision))
    with empty_database.connect() as somebody, somebody.transaction():
        somebody.execute("LOCK TABLE accounts IN ACCESS SHARE MODE")
        done = module("alembic", "upgrade", revision, DATABASE_URL=empty_database.url("migrator"))
    assert done.returncode != 0
    assert "canceling statement due to lock timeout" in done.stderr
    assert current(empty_database) == parent_of(revision)
