"""What statements cost, and which of them end in a deadlock."""

from __future__ import annotations

import psycopg
from psycopg import sql

from toolbox.checks import Check, Look
from toolbox.counters import Counters
from toolbox.output import Seconds, time_text
from toolbox.quantities import Limits

EXTENSION = "pg_stat_statements"
STATEMENTS = """
SELECT s.queryid::text AS id, r.rolname AS role, s.calls, s.rows, s.mean_exec_time / 1000 AS mean,
       s.max_exec_time / 1000 AS max, s.total_exec_time / 1000 AS total,
       left(regexp_replace(s.query, '\\s+', ' ', 'g'), 100) AS query
FROM {}.pg_stat_statements s
LEFT JOIN pg_roles r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.calls >= {}
ORDER BY s.mean_exec_time DESC
LIMIT {}
"""


def check_slow_statements(look: Look) -> None:
    """The statements with the longest mean time among those that are called often enough."""
    schema = look.session.schema_of(EXTENSION)
    if schema is None:
        look.say(
            "ok",
            f"not looked at: {look.session.database} has no extension {EXTENSION}",
            advice=f"CREATE EXTENSION {EXTENSION}, and name it in shared_preload_libraries (a restart)",
        )
        return
    query = sql.SQL(STATEMENTS).format(
        sql.Identifier(schema), sql.Literal(look.options.calls), sql.Literal(look.options.rows)
    )
    try:
        found = look.session.rows(query)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        look.say(
            "warning",
            f"{EXTENSION} counts nothing: it is not in shared_preload_libraries",
            advice="add it there and restart PostgreSQL",
        )
        return
    slow = [row for row in found if look.limits.level(row["mean"]) != "ok"]
    for row in slow:
        look.judge(
            row["mean"],
            f"{time_text(row['mean'])} on average, {time_text(row['max'])} at most, {row['calls']:,} calls by"
            f" {row['role']}: {row['query']}",
        )
    if not slow:
        look.say("ok", f"none of those that were called {look.options.calls} times or more")
    look.measure("slow_statements", len(slow), "Statements whose mean time is above the limit.")
    look.report.add_table(
        "Statements by mean time",
        ("mean", "max", "total", "calls", "rows", "role", "statement"),
        [
            (
                Seconds(row["mean"]), Seconds(row["max"]), Seconds(row["total"]), row["calls"], row["rows"],
                row["role"], row["query"],
            )
            for row in found
        ],
    )  # fmt: skip


def check_deadlocks(look: Look) -> None:
    """Transactions that PostgreSQL ended because they waited for each other."""
    counters: Counters = look.facts
    total = counters.totals["deadlocks"]
    look.measure("deadlocks_total", total, "Deadlocks that PostgreSQL broke.")
    since = counters.since("deadlocks")
    if since is None:
        look.say("ok", f"{total} since statistics began; judged with --state, by what came since then")
    else:
        look.judge(since, f"{since} in {time_text(counters.seconds)}")


CHECKS = [
    Check(
        "slow-statements",
        "Statements of this database by mean execution time (pg_stat_statements), among those called --calls times"
        " or more.",
        "EXPLAIN (ANALYZE, BUFFERS) it with real values; a sequential scan of a large table wants an index. After the"
        " cure: SELECT pg_stat_statements_reset().",
        check_slow_statements,
        Limits(0.1, 5, "seconds"),
        "mean time of a statement",
    ),
    Check(
        "deadlocks",
        "Deadlocks since the run before: two transactions that waited for each other, of which one got an error.",
        "The server's log has both statements. Let all code lock rows in the same order (ORDER BY id FOR UPDATE).",
        check_deadlocks,
        Limits(1, 10, "count"),
        "deadlocks since the run before",
    ),
]  # fmt: skip
