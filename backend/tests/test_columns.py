"""The 15 tables: columns, types, what may be null, what goes with its parent."""

from __future__ import annotations

import pytest

from harness.cluster import Database

# name[:type][!]; text where no type is given, ! is NOT NULL.
TABLES = {
    "users": "email! email_verified:ts password_hash name image clerk_id role! first_name! last_name!"
    " is_active:bool created_at:ts updated_at:ts deleted_at:ts",
    "accounts": "user_id:int! type! provider! provider_account_id! refresh_token access_token id_token"
    " expires_at:int token_type scope session_state created_at:ts updated_at:ts",
    "sessions": "user_id:int! session_token! expires:ts! created_at:ts updated_at:ts",
    "verification_tokens": "identifier! token! expires:ts! created_at:ts",
    "password_reset_tokens": "user_id:int! token! expires_at:ts! used_at:ts created_at:ts",
    "candidates": "user_id:int! phone location linkedin_url website_url profile_picture_url title summary"
    " years_experience:int salary_expectation_min:int salary_expectation_max:int cv_url cv_filename"
    " cv_uploaded_at:ts created_at:ts updated_at:ts",
    "candidate_cvs": "candidate_id:int! filename! file_path! file_size:int is_active:bool created_at:ts"
    " updated_at:ts",
    "experiences": "candidate_id:int! title! company! location start_date:date! end_date:date"
    " is_current:bool description created_at:ts updated_at:ts",
    "educations": "candidate_id:int! degree! school! location start_date:date! end_date:date description"
    " created_at:ts updated_at:ts",
    "skills": "candidate_id:int! name! level:int! category! created_at:ts updated_at:ts",
    "companies": "name! description industry size website_url linkedin_url address city country logo_url"
    " created_at:ts updated_at:ts",
    "employers": "user_id:int! company_id:int position department phone can_create_jobs:bool"
    " can_manage_candidates:bool is_admin:bool created_at:ts updated_at:ts",
    "jobs": "employer_id:int! company_id:int! title! description! requirements responsibilities benefits"
    " job_type! location_type! status! location salary_min:int salary_max:int currency is_featured:bool"
    " views_count:int applications_count:int posted_at:ts expires_at:ts created_at:ts updated_at:ts"
    " deleted_at:ts",
    "job_applications": "job_id:int! candidate_id:int! status! cover_letter cover_letter_url cv_url notes"
    " applied_at:ts! viewed_at:ts updated_at:ts deleted_at:ts",
    "notifications": "user_id:int! type! title! message! related_job_id:int related_application_id:int"
    " is_read:bool read_at:ts created_at:ts",
}
# Beside the domain's tables: what keeps the service going.
HELPERS = {"rate_limits", "notifications_archive"}
TYPES = {"": "text", "int": "integer", "bool": "boolean", "ts": "timestamp with time zone", "date": "date"}

UNIQUE = {
    "users": {"email", "clerk_id"},
    "sessions": {"session_token"},
    "verification_tokens": {"token"},
    "password_reset_tokens": {"token"},
    "candidates": {"user_id"},
    "employers": {"user_id"},
}

# CASCADE where nothing else is said.
KEPT = {
    ("employers", "company_id"): "SET NULL",
    ("notifications", "related_job_id"): "SET NULL",
    ("notifications", "related_application_id"): "SET NULL",
}
REFERENCES = {
    "user_id": "users",
    "candidate_id": "candidates",
    "company_id": "companies",
    "employer_id": "employers",
    "job_id": "jobs",
    "related_job_id": "jobs",
    "related_application_id": "job_applications",
}


def specified(table: str) -> dict[str, tuple[str, bool]]:
    """(type, NOT NULL) of each column."""
    columns = {"id": ("integer", True)}
    for word in TABLES[table].split():
        name, _, kind = word.rstrip("!").partition(":")
        columns[name] = (TYPES[kind], word.endswith("!"))
    return columns


def test_there_are_the_fifteen_tables(database: Database) -> None:
    there = {name for (name,) in database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert there == {*TABLES, *HELPERS, "alembic_version"}
    assert len(TABLES) == 15


@pytest.mark.parametrize("table", TABLES)
def test_table_has_the_specified_columns(database: Database, table: str) -> None:
    there = {
        name: (kind, nullable == "NO")
        for name, kind, nullable in database.rows(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            table,
        )
    }
    assert there == specified(table)


@pytest.mark.parametrize("table", UNIQUE)
def test_table_has_the_specified_unique_columns(database: Database, table: str) -> None:
    definitions = database.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'u' AND conrelid = %s::regclass",
        table,
    )
    assert {f"UNIQUE ({column})" for column in UNIQUE[table]} <= {text for (text,) in definitions}


@pytest.mark.parametrize("table", TABLES)
def test_foreign_keys_follow_their_parent_except_where_history_stays(database: Database, table: str) -> None:
    there = database.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass",
        table,
    )
    assert {text for (text,) in there} == {
        f"FOREIGN KEY ({column}) REFERENCES {parent}(id) ON DELETE {KEPT.get((table, column), 'CASCADE')}"
        for column, parent in REFERENCES.items()
        if column in specified(table)
    }
