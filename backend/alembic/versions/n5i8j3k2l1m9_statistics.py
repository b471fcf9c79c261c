"""Statistics: of jobs for each employer, and of the database for administrators

Revision ID: n5i8j3k2l1m9
Revises: m4h7i2j1k9l8

The functions work with the owner's rights. A materialized view may only be refreshed by its owner, and other
sessions' statements are shown only to members of pg_monitor, which the owner is and the application is not.
"""

from __future__ import annotations

from alembic import op

from app.online import OnlineIndex, create_indexes, drop_indexes

revision = "n5i8j3k2l1m9"
down_revision = "m4h7i2j1k9l8"
branch_labels = None
depends_on = None

INDEXES = (
    # Newest first for one job, and counted by status, without a look at the table.
    OnlineIndex(
        "idx_job_applications_job_id_applied_at",
        "job_applications",
        "(job_id, applied_at, id) INCLUDE (status, candidate_id) WHERE deleted_at IS NULL",
    ),
    OnlineIndex("idx_jobs_created_at_id", "jobs", "(created_at, id)"),
    # "%part%" of a place, which no b-tree finds.
    OnlineIndex(
        "idx_jobs_location_trigram", "jobs", "USING gin (location gin_trgm_ops) WHERE status = 'published'"
    ),
)

# The unique index on it is what REFRESH … CONCURRENTLY needs.
VIEW = """
CREATE MATERIALIZED VIEW IF NOT EXISTS employer_job_statistics AS
SELECT
    employers.id AS employer_id,
    count(jobs.id) AS jobs,
    count(jobs.id) FILTER (WHERE jobs.status = 'published') AS published_jobs,
    coalesce(sum(jobs.views_count), 0)::bigint AS views,
    coalesce(sum(per_job.applications), 0)::bigint AS applications,
    coalesce(sum(per_job.shortlisted), 0)::bigint AS shortlisted,
    coalesce(sum(per_job.accepted), 0)::bigint AS accepted,
    coalesce(sum(per_job.rejected), 0)::bigint AS rejected,
    max(per_job.last_applied_at) AS last_applied_at,
    now() AS refreshed_at
FROM employers
LEFT JOIN jobs ON jobs.employer_id = employers.id AND jobs.deleted_at IS NULL
LEFT JOIN (
    SELECT
        job_id,
        count(*) AS applications,
        count(*) FILTER (WHERE status = 'shortlisted') AS shortlisted,
        count(*) FILTER (WHERE status = 'accepted') AS accepted,
        count(*) FILTER (WHERE status = 'rejected') AS rejected,
        max(applied_at) AS last_applied_at
    FROM job_applications WHERE deleted_at IS NULL
    GROUP BY job_id
) AS per_job ON per_job.job_id = jobs.id
GROUP BY employers.id
"""

FUNCTIONS = {
    "refresh_employer_job_statistics()": """
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $function$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.employer_job_statistics;
END
$function$""",
    # plpgsql, whose body is looked at when it runs: the extension may be made after this migration.
    "statistics_slow_queries(at_most integer)": """
RETURNS TABLE (
    query text, calls bigint, mean_exec_time double precision, max_exec_time double precision,
    total_exec_time double precision, rows_returned bigint, cache_hit_ratio double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $function$
BEGIN
    RETURN QUERY
    SELECT s.query, s.calls, s.mean_exec_time, s.max_exec_time, s.total_exec_time, s.rows,
        s.shared_blks_hit::double precision / nullif(s.shared_blks_hit + s.shared_blks_read, 0)
    FROM pg_stat_statements AS s
    WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY s.mean_exec_time DESC LIMIT at_most;
END
$function$""",
    "statistics_connections()": """
RETURNS TABLE (
    role_name text, state text, connections bigint, longest_transaction_seconds double precision,
    waiting bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN QUERY
    SELECT a.usename::text, coalesce(a.state, 'unknown'), count(*),
        extract(epoch FROM max(clock_timestamp() - a.xact_start))::double precision,
        count(*) FILTER (WHERE a.wait_event_type = 'Lock')
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend'
    GROUP BY a.usename, a.state ORDER BY count(*) DESC, a.usename, a.state;
END
$function$""",
}


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(VIEW)
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        "CREATE UNIQUE INDEX IF NOT EXISTS unique_employer_job_statistics_employer_id"
        " ON employer_job_statistics (employer_id)"
    )
    for signature, rest in FUNCTIONS.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {signature} {rest}")
    create_indexes(INDEXES)


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION IF EXISTS {signature}")
    op.execute("DROP MATERIALIZED VIEW IF EXISTS employer_job_statistics")
    drop_indexes(INDEXES)
    op.execute("DROP EXTENSION IF EXISTS pg_trgm")
