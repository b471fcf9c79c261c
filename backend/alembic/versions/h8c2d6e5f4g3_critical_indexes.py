"""Critical indexes and unique constraints

Revision ID: h8c2d6e5f4g3
Revises: g7j2l6h5i4k3

Thirteen indexes and three unique rules, 16 objects. All indexes are built while the tables are in use; the
two constraints take over an index built so, in an instant. They come last, in the transaction that records
the revision, so a run that was killed before can be run again.
"""

from __future__ import annotations

from alembic import op

from app.online import OnlineIndex, create_indexes, drop_indexes, refuse_rows

revision = "h8c2d6e5f4g3"
down_revision = "g7j2l6h5i4k3"
branch_labels = None
depends_on = None

INDEXES = (
    OnlineIndex(
        "unique_candidate_job_application",
        "job_applications",
        "(candidate_id, job_id) WHERE status <> 'rejected'",
        unique=True,
    ),
    OnlineIndex(
        "idx_jobs_status_location_type", "jobs", "(status, location_type) WHERE status = 'published'"
    ),
    OnlineIndex("idx_jobs_status_job_type", "jobs", "(status, job_type) WHERE status = 'published'"),
    OnlineIndex("idx_jobs_company_id_status", "jobs", "(company_id, status) WHERE status = 'published'"),
    OnlineIndex("idx_jobs_employer_id_status", "jobs", "(employer_id, status)"),
    OnlineIndex("idx_job_applications_job_id_status", "job_applications", "(job_id, status)"),
    OnlineIndex("idx_job_applications_candidate_id_status", "job_applications", "(candidate_id, status)"),
    OnlineIndex("idx_job_applications_candidate_job", "job_applications", "(candidate_id, job_id)"),
    OnlineIndex("idx_candidates_user_id", "candidates", "(user_id)"),
    OnlineIndex("idx_skills_candidate_id_name", "skills", "(candidate_id, name)"),
    OnlineIndex("idx_experiences_candidate_id_current", "experiences", "(candidate_id, is_current)"),
    OnlineIndex("idx_sessions_expires", "sessions", "(expires)"),
    OnlineIndex(
        "idx_password_reset_tokens_expires", "password_reset_tokens", "(expires_at) WHERE used_at IS NULL"
    ),
    OnlineIndex("idx_verification_tokens_expires", "verification_tokens", "(expires)"),
)
CONSTRAINTS = (
    OnlineIndex(
        "unique_user_provider_account", "accounts", "(user_id, provider, provider_account_id)", unique=True
    ),
    OnlineIndex("unique_identifier_active_token", "verification_tokens", "(identifier, token)", unique=True),
)


def upgrade() -> None:
    refuse_rows(
        "candidates with more than one live application for the same job",
        """
        SELECT format('candidate %s, job %s: applications %s', candidate_id, job_id,
            array_to_string((array_agg(id ORDER BY id))[1:10], ', ')) AS offender
        FROM job_applications WHERE status <> 'rejected'
        GROUP BY candidate_id, job_id HAVING count(*) > 1
        ORDER BY candidate_id, job_id
        """,
        "Of each group keep one: set status = 'rejected' on the others, or delete them. Then migrate again.",
    )
    refuse_rows(
        "accounts stored more than once",
        """
        SELECT format('user %s, provider %s, account %s: rows %s', user_id, provider, provider_account_id,
            array_to_string((array_agg(id ORDER BY id))[1:10], ', ')) AS offender
        FROM accounts
        GROUP BY user_id, provider, provider_account_id HAVING count(*) > 1
        ORDER BY user_id, provider, provider_account_id
        """,
        "Of each group keep the row used last (updated_at) and delete the others. Then migrate again.",
    )
    # verification_tokens needs no such look: its token is unique alone.
    create_indexes([*INDEXES, *CONSTRAINTS])
    for index in CONSTRAINTS:
        op.execute(f"ALTER TABLE {index.table} ADD CONSTRAINT {index.name} UNIQUE USING INDEX {index.name}")


def downgrade() -> None:
    drop_indexes(INDEXES)
    for index in reversed(CONSTRAINTS):
        op.drop_constraint(index.name, index.table, type_="unique")
