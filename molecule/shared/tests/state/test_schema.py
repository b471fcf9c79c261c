"""The schema is at the head of the release that serves, with everything that the revisions promise."""

from __future__ import annotations

import pytest

from shared.product import Product
from shared.sql import Endpoints

TABLES = {
    "users", "accounts", "sessions", "verification_tokens", "password_reset_tokens", "candidates", "candidate_cvs",
    "experiences", "educations", "skills", "companies", "employers", "jobs", "job_applications", "notifications",
}  # fmt: skip
PUBLISHED = "(status = 'published'::text)"
# Revision h8c2d6e5f4g3: name, table, columns, whether unique, and the rows that a partial index is about.
OBJECTS = [
    (
        "unique_candidate_job_application",
        "job_applications",
        "candidate_id, job_id",
        True,
        "(status <> 'rejected'::text)",
    ),
    ("unique_user_provider_account", "accounts", "user_id, provider, provider_account_id", True, ""),
    ("unique_identifier_active_token", "verification_tokens", "identifier, token", True, ""),
    ("idx_jobs_status_location_type", "jobs", "status, location_type", False, PUBLISHED),
    ("idx_jobs_status_job_type", "jobs", "status, job_type", False, PUBLISHED),
    ("idx_jobs_company_id_status", "jobs", "company_id, status", False, PUBLISHED),
    ("idx_jobs_employer_id_status", "jobs", "employer_id, status", False, ""),
    ("idx_job_applications_job_id_status", "job_applications", "job_id, status", False, ""),
    ("idx_job_applications_candidate_id_status", "job_applications", "candidate_id, status", False, ""),
    ("idx_job_applications_candidate_job", "job_applications", "candidate_id, job_id", False, ""),
    ("idx_candidates_user_id", "candidates", "user_id", False, ""),
    ("idx_skills_candidate_id_name", "skills", "candidate_id, name", False, ""),
    ("idx_experiences_candidate_id_current", "experiences", "candidate_id, is_current", False, ""),
    ("idx_sessions_expires", "sessions", "expires", False, ""),
    ("idx_password_reset_tokens_expires", "password_reset_tokens", "expires_at", False, "(used_at IS NULL)"),
    ("idx_verification_tokens_expires", "verification_tokens", "expires", False, ""),
]
INDEX = """
SELECT t.relname,
       (SELECT string_agg(a.attname, ', ' ORDER BY k.place)
        FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum),
       i.indisunique, coalesce(pg_get_expr(i.indpred, i.indrelid), ''), i.indisvalid AND i.indisready
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE x.relname = '{name}'
"""


def test_the_15_tables_are_there_and_belong_to_the_owner(sql: Endpoints) -> None:
    owner = sql.landscape.value("bundle_owner_role")
    found = sql.superuser(
        f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = '{owner}'"
    )
    assert set(found.splitlines()) >= TABLES


@pytest.mark.parametrize(
    ("name", "table", "columns", "unique", "where"), OBJECTS, ids=[row[0] for row in OBJECTS]
)
def test_a_critical_index_is_there_and_valid(
    sql: Endpoints, name: str, table: str, columns: str, unique: bool, where: str
) -> None:
    found = sql.superuser(INDEX.format(name=name)).split("|")
    assert found == [table, columns, "t" if unique else "f", where, "t"]


def test_there_is_no_invalid_index_and_no_constraint_that_was_not_validated(sql: Endpoints) -> None:
    assert sql.superuser("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == ""
    assert sql.superuser("SELECT conname FROM pg_constraint WHERE NOT convalidated") == ""


def test_the_schema_is_at_the_head_of_the_release(product: Product, sql: Endpoints) -> None:
    assert [sql.superuser("SELECT version_num FROM alembic_version")] == product.manifest["alembic_heads"]
