"""What signing in and housekeeping need: rate limits, one address one user, sealed tokens, an archive

Revision ID: m4h7i2j1k9l8
Revises: l3g6h1i9j8k7
"""

from __future__ import annotations

from alembic import op

from app.online import OnlineIndex, add_check, create_indexes, drop_check, drop_indexes, refuse_rows

revision = "m4h7i2j1k9l8"
down_revision = "l3g6h1i9j8k7"
branch_labels = None
depends_on = None

INDEXES = (
    OnlineIndex("unique_users_email_lower", "users", "(lower(email))", unique=True),
    OnlineIndex(
        "unique_accounts_provider_account", "accounts", "(provider, provider_account_id)", unique=True
    ),
    OnlineIndex("idx_notifications_user_id_created_at", "notifications", "(user_id, created_at, id)"),
)
# What app/sealing.py writes begins so; a token in the clear never does.
SEALED = " AND ".join(
    f"({column} IS NULL OR {column} LIKE 'sealed:%')"
    for column in ("access_token", "refresh_token", "id_token")
)
# What they were about may be gone.
OUT_OF_THE_ARCHIVE = """
INSERT INTO notifications (
    id, user_id, type, title, message, related_job_id, related_application_id, is_read, read_at, created_at)
SELECT
    archived.id, archived.user_id, archived.type, archived.title, archived.message,
    jobs.id, job_applications.id, archived.is_read, archived.read_at, archived.created_at
FROM notifications_archive AS archived
LEFT JOIN jobs ON jobs.id = archived.related_job_id
LEFT JOIN job_applications ON job_applications.id = archived.related_application_id
"""


def upgrade() -> None:
    refuse_rows(
        "addresses that more than one user has, but for capitals",
        """
        SELECT format('users %s', array_to_string((array_agg(id ORDER BY id))[1:10], ', ')) AS offender
        FROM users GROUP BY lower(email) HAVING count(*) > 1 ORDER BY min(id)
        """,
        "Look: python -m app.cli check-data. Give all but one another address. Then migrate again.",
    )
    refuse_rows(
        "accounts of a provider that more than one user has",
        """
        SELECT format('provider %s, account %s: rows %s', provider, provider_account_id,
            array_to_string((array_agg(id ORDER BY id))[1:10], ', ')) AS offender
        FROM accounts GROUP BY provider, provider_account_id HAVING count(*) > 1 ORDER BY min(id)
        """,
        "Look: python -m app.cli check-data. Of each group keep the row of the user whose account it is."
        " Then migrate again.",
    )
    refuse_rows(
        "accounts whose OAuth tokens are stored in the clear",
        f"SELECT format('account %s', id) AS offender FROM accounts WHERE NOT ({SEALED}) ORDER BY id",
        "Seal them: python -m app.cli seal-tokens. Then migrate again.",
    )
    add_check("check_account_tokens_sealed", "accounts", SEALED)
    # A counter that is lost in a crash only begins anew: no WAL for it.
    op.execute("""
        CREATE UNLOGGED TABLE IF NOT EXISTS rate_limits (
            key text PRIMARY KEY,
            window_start timestamptz NOT NULL,
            hits integer NOT NULL
        )
    """)
    op.execute("CREATE INDEX IF NOT EXISTS idx_rate_limits_window_start ON rate_limits (window_start)")
    # Its foreign key keeps writers out of users for an instant: no other table is locked in this transaction.
    op.execute("""
        CREATE TABLE IF NOT EXISTS notifications_archive (
            id integer PRIMARY KEY,
            user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            type text NOT NULL,
            title text NOT NULL,
            message text NOT NULL,
            related_job_id integer,
            related_application_id integer,
            is_read boolean,
            read_at timestamptz,
            created_at timestamptz,
            archived_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    for column in ("user_id", "related_application_id"):
        op.execute(
            f"CREATE INDEX IF NOT EXISTS ix_notifications_archive_{column}"
            f" ON notifications_archive ({column})"
        )
    create_indexes(INDEXES)


def downgrade() -> None:
    drop_check("check_account_tokens_sealed", "accounts")
    drop_indexes(INDEXES)
    # Last, in the transaction that records the revision: a run that was killed before can be run again.
    op.execute(OUT_OF_THE_ARCHIVE)
    op.execute("DROP TABLE notifications_archive")
    op.execute("DROP TABLE rate_limits")
