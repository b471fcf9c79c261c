"""`check-data` finds rows that a rule would not allow, at the revision before the rules and at head."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import CheckConstraint, UniqueConstraint

from app.data_check.checks import IN_WORDS, checks
from app.models import Base
from harness.adopted import drop_rules
from harness.checksums import checksums, columns
from harness.cluster import Cluster, Database
from harness.commands import command
from harness.migrations import parent_of, upgrade
from harness.pooler import Pooler
from harness.rows import Rows
from harness.sample import fill
from harness.wrong import WRONG, Wrong

BEFORE = parent_of("h8c2d6e5f4g3")


@pytest.fixture(params=[BEFORE, "head"])
def database(request: pytest.FixtureRequest, empty_database: Database) -> Database:
    """A database without rules, of the revision before them or at head."""
    upgrade(empty_database, request.param)
    drop_rules(empty_database)
    return empty_database


def test_sample_data_breaks_no_rule(database: Database) -> None:
    fill(database)
    done = command(database, "check-data")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" checks, nothing found\n")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=[*WRONG])
def test_rows_that_break_a_rule_are_named(database: Database, wrong: Wrong) -> None:
    with database.connect() as connection:
        name, line = wrong(Rows(connection))
    done = command(database, "check-data")
    assert done.returncode == 1
    assert f"{name}: 1 found: " in done.stdout
    assert f"  {line}\n" in done.stdout


def test_deleted_job_that_is_published_is_named_at_head(template: Database, cluster: Cluster) -> None:
    database = cluster.create(template)
    drop_rules(database)
    with database.connect() as connection:
        job = Rows(connection).job(deleted_at="2026-01-01")
    done = command(database, "check-data")
    cluster.drop(database)
    assert "check_job_deleted_not_published: 1 found: " in done.stdout
    assert f"  jobs {job}\n" in done.stdout


def test_every_rule_of_the_models_is_looked_at() -> None:
    tables = [table for table in Base.metadata.sorted_tables if "id" in table.columns]
    found = {each.name for each in checks({table.name: frozenset(table.columns.keys()) for table in tables})}
    for table in tables:
        rules = [each for each in table.constraints if isinstance(each, CheckConstraint | UniqueConstraint)]
        unique = [index for index in table.indexes if index.unique]
        assert {str(each.name) for each in [*rules, *unique]} - IN_WORDS <= found
        assert {f"orphans {table.name}.{key.parent.name}" for key in table.foreign_keys} <= found


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_personal_data_is_shown(database: Database, form: str) -> None:
    with database.connect() as connection:
        rows = Rows(connection)
        for wrong in WRONG.values():
            wrong(rows)
    shown = command(database, "check-data", "--clean", "--format", form).stdout
    assert len(shown) > 500
    assert [
        word for word in ("example.com", "Ada", "Byron", "g-1", "g-3", "in the clear") if word in shown
    ] == []


def test_json_has_every_row_and_text_the_first_twenty(database: Database) -> None:
    with database.connect() as connection:
        jobs = [Rows(connection).job(salary_min=2, salary_max=1) for _ in range(25)]
    assert "  and 5 more; --format json has all\n" in command(database, "check-data").stdout
    (found,) = json.loads(command(database, "check-data", "--format", "json").stdout)["found"]
    assert (found["check"], found["found"]) == ("check_job_salary_range", 25)
    assert [problem["ids"] for problem in found["problems"]] == [[job] for job in jobs]


def test_looking_changes_nothing(database: Database) -> None:
    fill(database)
    with database.connect() as connection:
        for wrong in WRONG.values():
            wrong(Rows(connection))
    before = checksums(database, columns(database))
    assert command(database, "check-data", "--clean").returncode == 1
    assert checksums(database, columns(database)) == before


def test_it_works_through_the_pooler(api_database: Database, pooler: Pooler) -> None:
    done = command(
        api_database, "check-data", "--format", "json", url=api_database.url("app", pooler.host, pooler.port)
    )
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)["checks"] > 30


def test_database_without_tables_cannot_be_looked_at(empty_database: Database) -> None:
    done = command(empty_database, "check-data")
    assert done.returncode == 2
    assert "no table accounts, job_applications, jobs, users that this role may read" in done.stderr


def test_database_that_cannot_be_reached_cannot_be_looked_at(empty_database: Database) -> None:
    done = command(empty_database, "check-data", url=empty_database.url("app", port=1))
    assert done.returncode == 2
    assert "the database could not be asked: " in done.stderr
