"""Soft delete on users, jobs and applications, with an audit trail

Revision ID: l3g6h1i9j8k7
Revises: k2f5g9h8i7j6

The trail is in a schema of its own, where the application has no right at all: triggers write it with the
owner's rights, and `audit_trail()` reads it. It keeps the values of columns that say nothing about a person;
of the others only that they changed, so a purge leaves nothing of them behind.

All of it can be run again after a run that was killed. What closes a table for an instant is a transaction of
its own.
"""

from __future__ import annotations

from alembic import op

from app.online import add_check, drop_check, one_at_a_time

revision = "l3g6h1i9j8k7"
down_revision = "k2f5g9h8i7j6"
branch_labels = None
depends_on = None

# For each table: columns whose values are kept, and columns of which only the change is.
AUDITED = {
    "users": (("role", "is_active", "deleted_at"), ("email", "password_hash", "first_name", "last_name")),
    "jobs": (
        (
            *("title", "job_type", "location_type", "status", "location"),
            *("salary_min", "salary_max", "currency", "posted_at", "expires_at", "deleted_at"),
        ),
        ("description", "requirements", "responsibilities", "benefits"),
    ),
    "job_applications": (("status", "deleted_at"), ("cover_letter", "cover_letter_url", "cv_url", "notes")),
}

RECORD_CHANGE = """
CREATE OR REPLACE FUNCTION audit.record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    kept text[] := string_to_array(TG_ARGV[0], ',');
    watched text[] := kept || string_to_array(TG_ARGV[1], ',');
    was jsonb := to_jsonb(OLD);
    is_now jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(NEW) END;
    found jsonb;
BEGIN
    SELECT jsonb_object_agg(
        name, CASE WHEN name = ANY (kept) THEN jsonb_build_array(was -> name, is_now -> name) END)
    INTO found
    FROM unnest(watched) AS name
    WHERE TG_OP = 'DELETE' OR was -> name IS DISTINCT FROM is_now -> name;
    IF found IS NOT NULL THEN
        INSERT INTO audit.changes (table_name, row_id, action, actor_id, request_id, changed)
        VALUES (
            TG_TABLE_NAME,
            (was ->> 'id')::integer,
            CASE
                WHEN TG_OP = 'DELETE' THEN 'delete'
                WHEN was ->> 'deleted_at' IS NULL AND is_now ->> 'deleted_at' IS NOT NULL THEN 'soft_delete'
                WHEN was ->> 'deleted_at' IS NOT NULL AND is_now ->> 'deleted_at' IS NULL THEN 'restore'
                ELSE 'update'
            END,
            nullif(current_setting('app.actor_id', true), '')::integer,
            nullif(current_setting('app.request_id', true), ''),
            found);
    END IF;
    RETURN NULL;
END
$function$"""

AUDIT_TRAIL = """
CREATE OR REPLACE FUNCTION audit_trail(of_table text, of_row integer, at_most integer)
RETURNS TABLE (
    id bigint, changed_at timestamptz, action text, actor_id integer, request_id text, changed jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    SELECT c.id, c.changed_at, c.action, c.actor_id, c.request_id, c.changed
    FROM audit.changes AS c WHERE c.table_name = of_table AND c.row_id = of_row
    ORDER BY c.id DESC LIMIT at_most
$function$"""


def upgrade() -> None:
    one_at_a_time(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS deleted_at timestamptz" for table in AUDITED)
    op.execute("CREATE SCHEMA IF NOT EXISTS audit")
    op.execute("""
        CREATE TABLE IF NOT EXISTS audit.changes (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            table_name text NOT NULL,
            row_id integer NOT NULL,
            action text NOT NULL CONSTRAINT check_audit_action
                CHECK (action IN ('update', 'soft_delete', 'restore', 'delete')),
            actor_id integer,
            request_id text,
            changed jsonb NOT NULL
        )
    """)
    op.execute(
        "CREATE INDEX IF NOT EXISTS idx_changes_table_name_row_id ON audit.changes (table_name, row_id, id)"
    )
    op.execute(RECORD_CHANGE)
    op.execute(AUDIT_TRAIL)
    one_at_a_time(
        # Only for these columns: counting views and applications leaves no trail.
        f"CREATE OR REPLACE TRIGGER audit_{table}"
        f" AFTER DELETE OR UPDATE OF {', '.join((*kept, *named))} ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION audit.record_change('{','.join(kept)}', '{','.join(named)}')"
        for table, (kept, named) in AUDITED.items()
    )
    # So that the partial indexes on published jobs need not know of deletion.
    add_check("check_job_deleted_not_published", "jobs", "deleted_at IS NULL OR status <> 'published'")


def downgrade() -> None:
    drop_check("check_job_deleted_not_published", "jobs")
    one_at_a_time(f"DROP TRIGGER IF EXISTS audit_{table} ON {table}" for table in AUDITED)
    one_at_a_time(f"ALTER TABLE {table} DROP COLUMN IF EXISTS deleted_at" for table in AUDITED)
    op.execute("DROP FUNCTION IF EXISTS audit_trail(text, integer, integer)")
    op.execute("DROP FUNCTION IF EXISTS audit.record_change()")
    op.execute("DROP TABLE IF EXISTS audit.changes")
    op.execute("DROP SCHEMA IF EXISTS audit")
