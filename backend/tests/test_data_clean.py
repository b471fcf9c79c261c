"""`check-data --clean --yes` does what the stated rules say, and writes down before what it changes."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy.exc

from harness.adopted import drop_rules
from harness.checksums import checksums, columns
from harness.cleaning import apply_twice, cleaned, statuses
from harness.cluster import Cluster, Database
from harness.commands import command
from harness.migrations import parent_of, upgrade
from harness.rows import Rows
from harness.sample import fill

REVISION = "h8c2d6e5f4g3"
BEFORE = parent_of(REVISION)
NOBODY = 999_999
NOW = datetime(2026, 1, 6, tzinfo=UTC)
BY_PROGRESS = ("accepted", "interview", "shortlisted", "viewed", "applied")


@pytest.fixture
def before(empty_database: Database) -> Database:
    """A database before the unique rules, with its foreign keys."""
    upgrade(empty_database, BEFORE)
    return empty_database


@pytest.fixture(params=[BEFORE, "head"])
def database(request: pytest.FixtureRequest, empty_database: Database) -> Database:
    """A database without rules, of the revision before them or at head."""
    upgrade(empty_database, request.param)
    drop_rules(empty_database)
    return empty_database


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Where what is changed is written to."""
    return tmp_path / "saved.json"


@pytest.mark.parametrize(("further", "less"), [*pairwise(BY_PROGRESS)])
def test_application_furthest_along_stays_though_it_is_older(
    before: Database, saved: Path, further: str, less: str
) -> None:
    with before.connect("app") as connection:
        kept, other = apply_twice(
            Rows(connection),
            {"status": further, "applied_at": NOW - timedelta(days=9)},
            {"status": less, "applied_at": NOW},
        )
    cleaned(before, saved)
    assert statuses(before) == {kept: further, other: "rejected"}


def test_newest_of_equal_applications_stays(before: Database, saved: Path) -> None:
    with before.connect("app") as connection:
        kept, other = apply_twice(
            Rows(connection), {"applied_at": NOW}, {"applied_at": NOW - timedelta(days=1)}
        )
    cleaned(before, saved)
    assert statuses(before) == {kept: "applied", other: "rejected"}


def test_live_application_stays_before_a_deleted_one(
    template: Database, cluster: Cluster, saved: Path
) -> None:
    database = cluster.create(template)
    drop_rules(database)
    with database.connect("app") as connection:
        deleted, kept = apply_twice(Rows(connection), {"status": "accepted", "deleted_at": NOW}, {})
    cleaned(database, saved)
    found = statuses(database)
    cluster.drop(database)
    assert found == {kept: "applied", deleted: "rejected"}


def test_rejected_application_gets_a_note_after_its_own(before: Database, saved: Path) -> None:
    with before.connect("app") as connection:
        other, kept = apply_twice(Rows(connection), {"notes": "Speaks Breton"}, {"status": "viewed"})
    cleaned(before, saved)
    ((notes,),) = before.rows("SELECT notes FROM job_applications WHERE id = %s", other)
    assert notes == f"Speaks Breton\nRejected by check-data: application {kept} stays."


def test_account_that_was_updated_last_stays(before: Database, saved: Path) -> None:
    with before.connect("app") as connection:
        user = Rows(connection).user("candidate")
        same = {"user_id": user, "type": "oauth", "provider": "google", "provider_account_id": "g-1"}
        kept, *_ = (
            Rows(connection).insert("accounts", **same, updated_at=at)
            for at in (NOW, NOW - timedelta(1), None)
        )
    cleaned(before, saved)
    assert before.rows("SELECT id FROM accounts") == [(kept,)]


def test_orphan_goes_with_all_that_belongs_to_it(database: Database, saved: Path) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        candidate = rows.insert("candidates", user_id=NOBODY)
        skill = rows.insert("skills", candidate_id=candidate, name="SQL", level=3, category="technical")
        job = rows.job()
        application = rows.insert("job_applications", candidate_id=candidate, job_id=job)
        told = rows.insert(
            "notifications",
            user_id=rows.user("employer"),
            type="new_application",
            title="New",
            message="A new application",
            related_application_id=application,
        )
    found = cleaned(database, saved)
    assert {(each["table"], each["action"], each["row"]["id"]) for each in found} == {
        ("candidates", "delete", candidate),
        ("skills", "delete", skill),
        ("job_applications", "delete", application),
        ("notifications", "empty related_application_id", told),
    }
    assert database.rows(
        "SELECT (SELECT count(*) FROM candidates), (SELECT count(*) FROM skills), (SELECT count(*) FROM"
        " job_applications), (SELECT count(*) FROM jobs)"
    ) == [(0, 0, 0, 1)]
    assert database.rows("SELECT id, related_application_id FROM notifications") == [(told, None)]


def test_employer_of_no_company_stays_without_one(database: Database, saved: Path) -> None:
    with database.connect("app") as connection:
        employer = Rows(connection).employer(company_id=NOBODY).profile_id
    cleaned(database, saved)
    assert database.rows("SELECT id, company_id FROM employers") == [(employer, None)]


def test_what_a_person_has_to_decide_is_left(database: Database, saved: Path) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        rows.job(salary_min=2, salary_max=1)
        for email in ("twice@example.com", "TWICE@example.com"):
            rows.user("candidate", email=email)
    before = checksums(database, columns(database))
    done = command(database, "check-data", "--clean", "--yes", "--saved-to", str(saved))
    assert done.returncode == 1
    assert {"same addresses", "check_job_salary_range"} <= {
        line.partition(":")[0] for line in done.stdout.partition("Left:")[2].splitlines()
    }
    assert checksums(database, columns(database)) == before
    assert json.loads(saved.read_text()) == []


def test_saved_file_has_the_rows_as_they_were_and_nobody_else_may_read_it(
    before: Database, saved: Path
) -> None:
    with before.connect("app") as connection:
        other, _kept = apply_twice(Rows(connection), {"cover_letter": "Dear …"}, {"status": "viewed"})
    ((row,),) = before.rows("SELECT to_jsonb(a) FROM job_applications a WHERE id = %s", other)
    assert cleaned(before, saved) == [{"table": "job_applications", "action": "reject", "row": row}]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_after_cleaning_the_unique_rules_can_be_made(before: Database, saved: Path) -> None:
    fill(before)
    with before.connect("app") as connection:
        rows = Rows(connection)
        for status in BY_PROGRESS:
            apply_twice(rows, {"status": status}, {})
        user = rows.user("candidate")
        for _ in range(3):
            rows.insert("accounts", user_id=user, type="oauth", provider="google", provider_account_id="g")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        upgrade(before, REVISION)
    cleaned(before, saved)
    upgrade(before)
    assert command(before, "check-data").returncode == 0


def test_cleaning_twice_finds_nothing_more(before: Database, saved: Path) -> None:
    with before.connect("app") as connection:
        apply_twice(Rows(connection), {}, {})
    cleaned(before, saved)
    rows = checksums(before, columns(before))
    assert cleaned(before, saved.with_name("again.json")) == []
    assert checksums(before, columns(before)) == rows
