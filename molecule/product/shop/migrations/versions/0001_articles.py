"""Articles."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None


def upgrade() -> None:
    """What there is to buy."""
    op.create_table(
        "articles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("cents", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Nothing to buy."""
    op.drop_table("articles")
