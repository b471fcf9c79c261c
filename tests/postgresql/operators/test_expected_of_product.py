"""The product's own list of indexes and constraints is what its migrations make."""

from __future__ import annotations

import os
import subprocess

from operator_commands import ROOT, Database

BACKEND = ROOT / "backend"
EXPECTED = BACKEND / "alembic" / "expected_indexes.sql"
# Revision h8c2d6e5f4g3, in the words of the guides.
PROMISED = [
    "unique_candidate_job_application",
    "unique_user_provider_account",
    "unique_identifier_active_token",
    "idx_jobs_status_location_type",
    "idx_jobs_status_job_type",
    "idx_jobs_company_id_status",
    "idx_jobs_employer_id_status",
    "idx_job_applications_job_id_status",
    "idx_job_applications_candidate_id_status",
    "idx_job_applications_candidate_job",
    "idx_candidates_user_id",
    "idx_skills_candidate_id_name",
    "idx_experiences_candidate_id_current",
    "idx_sessions_expires",
    "idx_password_reset_tokens_expires",
    "idx_verification_tokens_expires",
]


def statements(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("--")]


def test_the_list_is_what_the_migrations_make(database: Database) -> None:
    address = (
        f"{os.environ['PGUSER']}:{os.environ['PGPASSWORD']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}"
    )
    subprocess.run(
        [BACKEND / ".venv/bin/alembic", "upgrade", "head"],
        cwd=BACKEND,
        env=os.environ | {"DATABASE_URL": f"postgresql+psycopg://{address}/{database.name}"},
        check=True,
        capture_output=True,
    )
    printed = database.command("check_indexes.py", "--print-expected").text
    assert statements(printed) == statements(EXPECTED.read_text()), (
        "after a migration: check_indexes.py --print-expected, and keep the lines that begin with -- accept"
    )


def test_the_list_has_all_that_the_guides_promise() -> None:
    text = EXPECTED.read_text()
    assert [name for name in PROMISED if f" {name} " not in text] == []
