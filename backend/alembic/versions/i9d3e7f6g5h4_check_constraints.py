"""Check constraints: salary ranges and dates

Revision ID: i9d3e7f6g5h4
Revises: h8c2d6e5f4g3

New rows are held to them at once, the old ones are looked through under a lock that lets all work go on.
"""

from __future__ import annotations

from typing import NamedTuple

from app.online import add_check, drop_check, refuse_rows

revision = "i9d3e7f6g5h4"
down_revision = "h8c2d6e5f4g3"
branch_labels = None
depends_on = None


class Check(NamedTuple):
    """A check constraint, and what of a row to show when it is broken, as SQL."""

    name: str
    table: str
    condition: str
    shown: str


CHECKS = (
    Check(
        "check_job_salary_range",
        "jobs",
        "salary_min IS NULL OR salary_max IS NULL OR salary_min <= salary_max",
        "concat('salary_min ', salary_min, ', salary_max ', salary_max)",
    ),
    Check(
        "check_candidate_salary_range",
        "candidates",
        "salary_expectation_min IS NULL OR salary_expectation_max IS NULL"
        " OR salary_expectation_min <= salary_expectation_max",
        "concat('salary_expectation_min ', salary_expectation_min,"
        " ', salary_expectation_max ', salary_expectation_max)",
    ),
    Check(
        "check_job_dates",
        "jobs",
        "posted_at IS NULL OR expires_at IS NULL OR posted_at <= expires_at",
        "concat('posted_at ', posted_at, ', expires_at ', expires_at)",
    ),
    # The list of jobs is ordered by posted_at, by keyset: a published job without it would be on no page.
    Check(
        "check_job_published_date",
        "jobs",
        "status <> 'published' OR posted_at IS NOT NULL",
        "concat('published, created_at ', created_at)",
    ),
)


def upgrade() -> None:
    for check in CHECKS:
        refuse_rows(
            f"rows of {check.table} that break {check.name} ({check.condition})",
            f"SELECT format('{check.table} id %s: %s', id, {check.shown}) AS offender"
            f" FROM {check.table} WHERE NOT ({check.condition}) ORDER BY id",
            "Correct these rows, then migrate again.",
        )
    for check in CHECKS:
        add_check(check.name, check.table, check.condition)


def downgrade() -> None:
    for check in reversed(CHECKS):
        drop_check(check.name, check.table)
