"""What PostgreSQL's statistics views are asked (version 15), and what of it may be shown."""

from __future__ import annotations

import re

from sqlalchemy import text

# The functions work with their owner's rights: the application itself is shown "<insufficient privilege>" in
# place of other users' statements.
SLOW_QUERIES = text("""
    SELECT query, calls, rows_returned, mean_exec_time AS mean_ms, max_exec_time AS max_ms,
        total_exec_time AS total_ms, cache_hit_ratio
    FROM statistics_slow_queries(:at_most) WHERE mean_exec_time >= :threshold_ms
    ORDER BY mean_exec_time DESC
""")

CONNECTIONS = text("""
    SELECT role_name, state, connections, longest_transaction_seconds, waiting AS waiting_for_a_lock
    FROM statistics_connections() LIMIT :at_most
""")

MAX_CONNECTIONS = text("SELECT current_setting('max_connections')::integer")

# An invalid one, left by a build that failed, costs every write and serves no read: those come first.
INDEX_USAGE = text("""
    SELECT s.schemaname AS schema, s.relname AS table, s.indexrelname AS index, i.indisvalid AS is_valid,
        i.indisunique AS is_unique, s.idx_scan AS scans, s.idx_tup_read AS tuples_read,
        s.idx_tup_fetch AS tuples_fetched,
        s.idx_scan::double precision / nullif(t.seq_scan + t.idx_scan, 0) AS share_of_table_scans,
        pg_relation_size(s.indexrelid) AS bytes, d.indexdef AS definition
    FROM pg_stat_user_indexes AS s
    JOIN pg_index AS i ON i.indexrelid = s.indexrelid
    JOIN pg_stat_user_tables AS t ON t.relid = s.relid
    JOIN pg_indexes AS d
        ON d.schemaname = s.schemaname AND d.tablename = s.relname AND d.indexname = s.indexrelname
    ORDER BY i.indisvalid, s.idx_scan, bytes DESC, s.indexrelname LIMIT :at_most
""")

CACHE_OF_DATABASE = text("""
    SELECT blks_hit AS hits, blks_read AS reads,
        blks_hit::double precision / nullif(blks_hit + blks_read, 0) AS ratio, stats_reset AS since
    FROM pg_stat_database WHERE datname = current_database()
""")

CACHE_OF_TABLES = text("""
    SELECT schemaname AS schema, relname AS table, hits, reads,
        hits::double precision / nullif(hits + reads, 0) AS ratio
    FROM (
        SELECT schemaname, relname,
            heap_blks_hit + coalesce(idx_blks_hit, 0) + coalesce(toast_blks_hit, 0) AS hits,
            heap_blks_read + coalesce(idx_blks_read, 0) + coalesce(toast_blks_read, 0) AS reads
        FROM pg_statio_user_tables
    ) AS blocks
    ORDER BY reads DESC, relname LIMIT :at_most
""")

TABLE_SIZES = text("""
    SELECT schemaname AS schema, relname AS table, pg_total_relation_size(relid) AS total_bytes,
        pg_table_size(relid) AS table_bytes, pg_indexes_size(relid) AS index_bytes, n_live_tup AS live_rows,
        n_dead_tup AS dead_rows,
        n_dead_tup::double precision / nullif(n_live_tup + n_dead_tup, 0) AS dead_ratio,
        greatest(last_vacuum, last_autovacuum) AS last_vacuum,
        greatest(last_analyze, last_autoanalyze) AS last_analyze
    FROM pg_stat_user_tables ORDER BY total_bytes DESC, relname LIMIT :at_most
""")

LONGEST_QUERY = 2_000
# Strings with their doubled quotes and backslashes, dollar-quoted ones, comments; also those that do not end.
_LITERALS = re.compile(
    r"""'(?:[^'\\]|''|\\.)*(?:'|\Z) | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) | --[^\n]* | /\*.*?(?:\*/|\Z)""",
    re.VERBOSE | re.DOTALL,
)


def without_literals(query: str) -> str:
    """A statement's text without the values in it, cut to `LONGEST_QUERY` characters.

    pg_stat_statements puts $1 in their place, but not in utility statements (ALTER ROLE … PASSWORD) and not
    when it had forgotten the statement's entry while the statement ran.
    """
    return _LITERALS.sub("'…'", query)[:LONGEST_QUERY]
