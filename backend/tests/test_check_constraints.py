"""Closed sets of words, ranges and dates: kept by the database, and looked for before the rule is added."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc

from harness.cluster import Database
from harness.migrations import current, upgrade
from harness.rows import Rows

BEFORE = "h8c2d6e5f4g3"
NOW = datetime(2026, 1, 6, tzinfo=UTC)

BROKEN: dict[str, dict[str, Any]] = {
    "check_job_salary_range": {"salary_min": 50_000, "salary_max": 40_000},
    "check_job_dates": {"posted_at": NOW, "expires_at": NOW - timedelta(days=1)},
    "check_job_published_date": {"status": "published", "posted_at": None},
    "check_job_type": {"job_type": "FULL_TIME"},
    "check_job_location_type": {"location_type": "office"},
    "check_job_status": {"status": "PUBLISHED"},
}
ADDED_LATER = ("check_job_salary_range", "check_job_dates", "check_job_published_date")


@pytest.mark.parametrize("constraint", BROKEN)
def test_job_that_breaks_a_rule_is_refused(database: Database, constraint: str) -> None:
    with (
        database.connect("app") as connection,
        pytest.raises(psycopg.errors.CheckViolation, match=constraint),
    ):
        Rows(connection).job(**BROKEN[constraint])


def test_candidate_with_salaries_the_wrong_way_round_is_refused(database: Database) -> None:
    with database.connect("app") as connection:
        user = Rows(connection).user("candidate")
        with pytest.raises(psycopg.errors.CheckViolation, match="check_candidate_salary_range"):
            Rows(connection).insert(
                "candidates", user_id=user, salary_expectation_min=2, salary_expectation_max=1
            )


def test_unknown_application_status_is_refused(database: Database) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        job, candidate = rows.job(), rows.candidate().profile_id
        with pytest.raises(psycopg.errors.CheckViolation, match="check_application_status"):
            rows.insert("job_applications", job_id=job, candidate_id=candidate, status="APPLIED")


@pytest.mark.parametrize("constraint", ADDED_LATER)
def test_old_rows_that_break_a_new_rule_are_named_and_nothing_changes(
    empty_database: Database, constraint: str
) -> None:
    upgrade(empty_database, BEFORE)
    with empty_database.connect("app") as connection:
        job = Rows(connection).job(**BROKEN[constraint])
    with pytest.raises(sqlalchemy.exc.DBAPIError) as refusal:
        upgrade(empty_database)
    assert constraint in str(refusal.value)
    assert f"jobs id {job}: " in str(refusal.value)
    assert "Correct these rows, then migrate again." in str(refusal.value)
    assert current(empty_database) == BEFORE
