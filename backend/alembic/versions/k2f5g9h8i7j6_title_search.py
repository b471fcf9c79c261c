"""Full-text index on job titles

Revision ID: k2f5g9h8i7j6
Revises: j1e4f8g7h6i5

On the expression, not on a generated column: adding a stored column rewrites the whole table under a lock
that stops reads too, while this is built with the table in use. A search has to repeat the expression to the
letter.
"""

from __future__ import annotations

from app.online import OnlineIndex, create_indexes, drop_indexes

revision = "k2f5g9h8i7j6"
down_revision = "j1e4f8g7h6i5"
branch_labels = None
depends_on = None

INDEXES = (
    OnlineIndex("idx_jobs_title_search", "jobs", "USING gin (to_tsvector('english'::regconfig, title))"),
)


def upgrade() -> None:
    create_indexes(INDEXES)


def downgrade() -> None:
    drop_indexes(INDEXES)
