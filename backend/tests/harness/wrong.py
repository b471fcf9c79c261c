"""Rows that break a rule, for a database without rules: one maker for each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.rows import Rows

NOBODY = 999_999
JOB = {"title": "Nurse", "description": "Care", "job_type": "full_time", "location_type": "on_site"}

Wrong = Callable[[Rows], tuple[str, str]]
"""Makes the rows; returns the name of the check that finds them and the line that names them."""


def duplicate_applications(rows: Rows) -> tuple[str, str]:
    job, candidate = rows.job(), rows.candidate().profile_id
    first, second = (rows.insert("job_applications", job_id=job, candidate_id=candidate) for _ in range(2))
    # Of two at the same instant the higher id is the newer.
    return "duplicate applications", f"candidate {candidate}, job {job}: job_applications {second}, {first}"


def duplicate_accounts(rows: Rows) -> tuple[str, str]:
    user = rows.user("candidate")
    first, second = (
        rows.insert("accounts", user_id=user, type="oauth", provider="google", provider_account_id="g-1")
        for _ in range(2)
    )
    return "duplicate accounts", f"user {user}, provider google: accounts {second}, {first}"


def shared_accounts(rows: Rows) -> tuple[str, str]:
    first, second = (
        rows.insert(
            "accounts",
            user_id=rows.user("candidate"),
            type="oauth",
            provider="google",
            provider_account_id="g-3",
        )
        for _ in range(2)
    )
    return "shared accounts", f"provider google: accounts {first}, {second}"


def same_tokens(rows: Rows) -> tuple[str, str]:
    user = rows.user("candidate")
    first, second = (
        rows.insert("sessions", user_id=user, session_token="same", expires="2030-01-01") for _ in range(2)
    )
    return "sessions_session_token_key", f"sessions {first}, {second}"


def same_addresses(rows: Rows) -> tuple[str, str]:
    first, second = (
        rows.user("candidate", email=email) for email in ("Twice@example.com", "twice@example.COM")
    )
    return "same addresses", f"users {first}, {second}"


def orphan(table: str, column: str, **values: Any) -> Wrong:
    """A row that names nobody. Where `values` have None, it names somebody."""
    somebody = {"user_id": lambda rows: rows.user("employer"), "company_id": lambda rows: rows.company()}

    def made(rows: Rows) -> tuple[str, str]:
        given = {name: somebody[name](rows) if value is None else value for name, value in values.items()}
        number = rows.insert(table, **{column: NOBODY}, **given)
        return f"orphans {table}.{column}", f"{column} {NOBODY}: {table} {number}"

    return made


def broken(name: str, **values: Any) -> Wrong:
    def made(rows: Rows) -> tuple[str, str]:
        return name, f"jobs {rows.job(**values)}"

    return made


def broken_candidate(rows: Rows) -> tuple[str, str]:
    number = rows.insert(
        "candidates", user_id=rows.user("candidate"), salary_expectation_min=2, salary_expectation_max=1
    )
    return "check_candidate_salary_range", f"candidates {number}"


def token_in_the_clear(rows: Rows) -> tuple[str, str]:
    number = rows.insert(
        "accounts",
        user_id=rows.user("candidate"),
        type="oauth",
        provider="google",
        provider_account_id="g-2",
        access_token="in the clear",
    )
    return "check_account_tokens_sealed", f"accounts {number}"


WRONG: dict[str, Wrong] = {
    "duplicate applications": duplicate_applications,
    "duplicate accounts": duplicate_accounts,
    "shared accounts": shared_accounts,
    "same addresses": same_addresses,
    "same tokens": same_tokens,
    "orphan session": orphan("sessions", "user_id", session_token="s", expires="2030-01-01"),
    "orphan candidate": orphan("candidates", "user_id"),
    "orphan skill": orphan("skills", "candidate_id", name="SQL", level=3, category="technical"),
    "orphan job": orphan("jobs", "employer_id", company_id=None, **JOB),
    "employer of no company": orphan("employers", "company_id", user_id=None),
    "notification of no job": orphan(
        "notifications", "related_job_id", user_id=None, type="new_job", title="t", message="m"
    ),
    "salaries the wrong way round": broken("check_job_salary_range", salary_min=2, salary_max=1),
    "candidate's salaries": broken_candidate,
    "over before it began": broken("check_job_dates", expires_at="2020-01-01"),
    "published without a date": broken("check_job_published_date", posted_at=None),
    "unknown status": broken("check_job_status", status="PUBLISHED"),
    "token in the clear": token_in_the_clear,
}
