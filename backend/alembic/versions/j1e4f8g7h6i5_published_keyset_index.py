"""Index for the pages of published jobs

Revision ID: j1e4f8g7h6i5
Revises: i9d3e7f6g5h4

The list is ordered by (posted_at, id), newest first, which this index read backwards gives: page 1,000 costs
what page 1 costs.
"""

from __future__ import annotations

from app.online import OnlineIndex, create_indexes, drop_indexes

revision = "j1e4f8g7h6i5"
down_revision = "i9d3e7f6g5h4"
branch_labels = None
depends_on = None

INDEXES = (
    OnlineIndex("idx_jobs_published_posted_at_id", "jobs", "(posted_at, id) WHERE status = 'published'"),
)


def upgrade() -> None:
    create_indexes(INDEXES)


def downgrade() -> None:
    drop_indexes(INDEXES)
