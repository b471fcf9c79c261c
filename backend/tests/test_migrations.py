"""Up, down and up again leave exactly the schema that they should."""

from __future__ import annotations

import re
import subprocess

import pytest
import sqlalchemy

from app.models import Base
from harness.cluster import Database
from harness.migrations import (
    FIRST_ONLINE,
    catalog,
    current,
    downgrade,
    dump,
    module,
    parent_of,
    rendered,
    revisions,
    upgrade,
)

# Made by a migration after FIRST_ONLINE, with their indexes: nobody uses them yet.
NEW_RELATIONS = r"audit\.changes|rate_limits|notifications_archive|employer_job_statistics"


def test_down_to_base_leaves_nothing_and_up_again_leaves_the_same_schema(empty_database: Database) -> None:
    empty = dump(empty_database)
    upgrade(empty_database)
    first = dump(empty_database)
    downgrade(empty_database, "base")
    assert dump(empty_database) == empty
    upgrade(empty_database)
    assert dump(empty_database) == first


@pytest.mark.parametrize("revision", revisions())
def test_each_migration_can_be_undone_and_done_again(empty_database: Database, revision: str) -> None:
    upgrade(empty_database, parent_of(revision))
    before = dump(empty_database)
    upgrade(empty_database, revision)
    after = dump(empty_database)
    downgrade(empty_database, parent_of(revision))
    assert dump(empty_database) == before
    upgrade(empty_database, revision)
    assert dump(empty_database) == after
    assert before != after


def test_models_create_the_schema_that_migrations_create(
    empty_database: Database, database: Database
) -> None:
    # What of the schema is no table: the models only use it.
    empty_database.run("CREATE EXTENSION pg_trgm")
    engine = sqlalchemy.create_engine(empty_database.url("migrator"), poolclass=sqlalchemy.NullPool)
    Base.metadata.create_all(engine)
    assert catalog(empty_database) == catalog(database)


def test_migrator_works_as_the_owner_so_the_owner_has_everything(database: Database) -> None:
    owners = database.rows(
        """SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'audit'::regnamespace)
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')"""
    )
    assert owners == [(database.cluster.role("owner"),)]


def test_rendered_sql_makes_the_same_schema_as_the_migrations(
    empty_database: Database, database: Database
) -> None:
    user, password = database.cluster.login("migrator")
    subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", user, empty_database.name],
        env={"PATH": "/usr/bin:/bin", "PGHOST": database.cluster.host, "PGPASSWORD": password}
        | {"PGPORT": str(database.cluster.port)},
        input=rendered("upgrade", "head"),
        text=True,
        check=True,
        capture_output=True,
    )
    assert catalog(empty_database) == catalog(database)


@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_indexes_of_tables_in_use_are_touched_concurrently_only(direction: str) -> None:
    span = {
        "upgrade": f"{parent_of(FIRST_ONLINE)}:head",
        "downgrade": f"{revisions()[-1]}:{parent_of(FIRST_ONLINE)}",
    }
    statements = re.findall(r"^(?:CREATE|DROP)\b.*\bINDEX\b.*$", rendered(direction, span[direction]), re.M)
    assert len(statements) >= 16
    in_use = [statement for statement in statements if not re.search(rf" ON ({NEW_RELATIONS}) ", statement)]
    assert [statement for statement in in_use if "INDEX CONCURRENTLY" not in statement] == []


def test_constraints_of_tables_in_use_are_added_without_looking_at_all_rows_under_the_lock() -> None:
    added = re.findall(r"ADD CONSTRAINT.*$", rendered("upgrade", f"{parent_of(FIRST_ONLINE)}:head"), re.M)
    assert len(added) == 8
    assert all("NOT VALID" in line or "USING INDEX" in line for line in added), added


def test_command_line_says_which_variable_is_missing() -> None:
    done = module("alembic", "current")
    assert done.returncode != 0
    assert "DATABASE_URL is missing" in done.stderr


def test_command_line_upgrades_with_the_url_of_the_environment(empty_database: Database) -> None:
    done = module("alembic", "upgrade", "head", DATABASE_URL=empty_database.url("migrator"))
    assert done.returncode == 0, done.stderr
    assert current(empty_database) == revisions()[-1]
