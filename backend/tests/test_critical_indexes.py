"""Revision h8c2d6e5f4g3: its 16 objects, and what it does about rows that break its rules."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy.exc

from harness.cluster import Database
from harness.migrations import current, parent_of, upgrade
from harness.rows import Rows

REVISION = "h8c2d6e5f4g3"
BEFORE = parent_of(REVISION)

INDEXES = {
    "unique_candidate_job_application": (
        "UNIQUE",
        "job_applications (candidate_id, job_id) WHERE (status <> 'rejected'::text)",
    ),
    "idx_jobs_status_location_type": ("", "jobs (status, location_type) WHERE (status = 'published'::text)"),
    "idx_jobs_status_job_type": ("", "jobs (status, job_type) WHERE (status = 'published'::text)"),
    "idx_jobs_company_id_status": ("", "jobs (company_id, status) WHERE (status = 'published'::text)"),
    "idx_jobs_employer_id_status": ("", "jobs (employer_id, status)"),
    "idx_job_applications_job_id_status": ("", "job_applications (job_id, status)"),
    "idx_job_applications_candidate_id_status": ("", "job_applications (candidate_id, status)"),
    "idx_job_applications_candidate_job": ("", "job_applications (candidate_id, job_id)"),
    "idx_candidates_user_id": ("", "candidates (user_id)"),
    "idx_skills_candidate_id_name": ("", "skills (candidate_id, name)"),
    "idx_experiences_candidate_id_current": ("", "experiences (candidate_id, is_current)"),
    "idx_sessions_expires": ("", "sessions (expires)"),
    "idx_password_reset_tokens_expires": (
        "",
        "password_reset_tokens (expires_at) WHERE (used_at IS NULL)",
    ),
    "idx_verification_tokens_expires": ("", "verification_tokens (expires)"),
}
CONSTRAINTS = {
    "unique_user_provider_account": ("accounts", "UNIQUE (user_id, provider, provider_account_id)"),
    "unique_identifier_active_token": ("verification_tokens", "UNIQUE (identifier, token)"),
}


@pytest.fixture
def before(empty_database: Database) -> Database:
    """A database just before the revision."""
    upgrade(empty_database, BEFORE)
    return empty_database


@pytest.mark.parametrize("name", INDEXES)
def test_index_is_there_as_specified(database: Database, name: str) -> None:
    unique, rest = INDEXES[name]
    table, _, columns = rest.partition(" ")
    ((definition,),) = database.rows("SELECT indexdef FROM pg_indexes WHERE indexname = %s", name)
    kind = "CREATE UNIQUE INDEX" if unique else "CREATE INDEX"
    assert definition == f"{kind} {name} ON public.{table} USING btree {columns}"


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_is_there_as_specified(database: Database, name: str) -> None:
    rows = database.rows(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
        name,
    )
    assert rows == [CONSTRAINTS[name]]


def test_the_revision_adds_its_sixteen_objects_and_no_more(before: Database) -> None:
    def indexes() -> set[str]:
        return {
            name for (name,) in before.rows("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        }

    had = indexes()
    upgrade(before, REVISION)
    assert indexes() - had == {*INDEXES, *CONSTRAINTS}
    assert len({*INDEXES, *CONSTRAINTS}) == 16


def test_no_index_is_invalid(database: Database) -> None:
    assert (
        database.rows("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid OR NOT indisready")
        == []
    )


def test_live_duplicates_are_refused_by_name_and_nothing_changes(before: Database) -> None:
    with before.connect("app") as connection:
        rows = Rows(connection)
        job, candidate = rows.job(), rows.candidate().profile_id
        twice = [
            rows.insert("job_applications", job_id=job, candidate_id=candidate, status=status)
            for status in ("applied", "viewed")
        ]
    with pytest.raises(sqlalchemy.exc.DBAPIError) as refusal:
        upgrade(before, REVISION)
    message = str(refusal.value)
    assert f"candidate {candidate}, job {job}: applications {twice[0]}, {twice[1]}" in message
    assert "set status = 'rejected' on the others, or delete them" in message
    assert current(before) == BEFORE
    before.run(f"UPDATE job_applications SET status = 'rejected' WHERE id = {twice[0]}")
    upgrade(before, REVISION)
    assert current(before) == REVISION


def test_a_refusal_names_twenty_groups_of_many(before: Database) -> None:
    with before.connect("app") as connection:
        rows = Rows(connection)
        job = rows.job()
        for _ in range(25):
            candidate = rows.candidate().profile_id
            for _ in range(2):
                rows.insert("job_applications", job_id=job, candidate_id=candidate)
    with pytest.raises(sqlalchemy.exc.DBAPIError) as refusal:
        upgrade(before, REVISION)
    message = str(refusal.value)
    assert "25, the first 20 of them" in message
    assert message.count(f", job {job}: applications") == 20


def test_accounts_stored_twice_are_refused_by_name(before: Database) -> None:
    with before.connect("app") as connection:
        rows = Rows(connection)
        user = rows.user("candidate")
        first, second = (
            rows.insert("accounts", user_id=user, type="oauth", provider="google", provider_account_id="g-1")
            for _ in range(2)
        )
    with pytest.raises(
        sqlalchemy.exc.DBAPIError, match=f"provider google, account g-1: rows {first}, {second}"
    ):
        upgrade(before, REVISION)


@pytest.mark.parametrize("leftover", ["invalid", "valid"])
def test_an_index_that_an_earlier_run_left_is_replaced(before: Database, leftover: str) -> None:
    with before.connect("app") as connection:
        rows = Rows(connection)
        job, candidate = rows.job(), rows.candidate().profile_id
        for _ in range(2 if leftover == "invalid" else 1):
            rows.insert("job_applications", job_id=job, candidate_id=candidate)
    build = (
        "CREATE UNIQUE INDEX CONCURRENTLY unique_candidate_job_application"
        " ON job_applications (candidate_id, job_id) WHERE status <> 'rejected'"
    )
    with before.connect("migrator") as connection:
        try:
            connection.execute(build)
        except psycopg.errors.UniqueViolation:
            connection.execute("DELETE FROM job_applications WHERE id = 1")
    left = before.rows(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'unique_candidate_job_application'::regclass"
    )
    assert left == [(leftover == "valid",)]
    upgrade(before, REVISION)
    assert before.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_a_rejected_application_does_not_count_as_live(database: Database) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        job, candidate = rows.job(), rows.candidate().profile_id
        for status in ("rejected", "rejected", "applied"):
            rows.insert("job_applications", job_id=job, candidate_id=candidate, status=status)
        with pytest.raises(psycopg.errors.UniqueViolation, match="unique_candidate_job_application"):
            rows.insert("job_applications", job_id=job, candidate_id=candidate, status="viewed")
