"""What sessions do to each other: connections, long and idle transactions, who waits for whom."""

from __future__ import annotations

from typing import Any

from toolbox.checks import Check, Look
from toolbox.output import Seconds, time_text
from toolbox.quantities import Limits

CONNECTIONS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       current_setting('max_connections')::int AS "all",
       current_setting('superuser_reserved_connections')::int AS reserved
"""
BY_STATE = """
SELECT coalesce(datname, '-') AS database, coalesce(usename, '-') AS role, coalesce(state, 'unknown') AS state,
       count(*) AS sessions
FROM pg_stat_activity WHERE backend_type = 'client backend'
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
"""
# Of all databases: one is as much in the way of the server as another.
TRANSACTIONS = """
SELECT pid, coalesce(datname, '-') AS database, coalesce(usename, '-') AS role,
       coalesce(nullif(application_name, ''), '-') AS application, coalesce(client_addr::text, 'socket') AS client,
       state, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS open_for,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_for,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 80) AS query
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start
"""
PREPARED = """
SELECT gid, database, owner AS role, extract(epoch FROM clock_timestamp() - prepared)::float8 AS open_for
FROM pg_prepared_xacts ORDER BY prepared
"""
# An entry has no waitstart yet in its first moment.
BLOCKED = """
SELECT a.pid, coalesce(a.datname, '-') AS database, coalesce(a.usename, a.backend_type) AS role,
       left(regexp_replace(a.query, '\\s+', ' ', 'g'), 80) AS query,
       coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8 AS waited,
       pg_blocking_pids(a.pid) AS blockers
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
GROUP BY a.pid, a.datname, a.usename, a.backend_type, a.query ORDER BY 5 DESC
"""
BLOCKERS = """
SELECT pid, coalesce(usename, backend_type) AS role, state,
       coalesce(nullif(application_name, ''), '-') AS application,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS open_for,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 80) AS query
FROM pg_stat_activity WHERE pid = ANY (%s)
"""
SEES_ALL = (
    "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS allowed, current_user::text AS role"
)


def check_rights(look: Look) -> None:
    """Whether the role sees other roles' sessions at all: without it every other check would say that all is well."""
    found = look.session.row(SEES_ALL)
    if found["allowed"]:
        look.say("ok", f"{found['role']} sees all sessions and statistics")
    else:
        look.say("critical", f"{found['role']} sees only its own sessions, so most of what follows is blind")


def check_connections(look: Look) -> None:
    """How many of the sessions that the server allows are taken."""
    found = look.session.row(CONNECTIONS)
    # The last few are the superuser's.
    limit = max(1, found["all"] - found["reserved"])
    used = 100 * found["used"] / limit
    look.judge(used, f"{found['used']} of {limit} connections in use, {used:.0f} %")
    look.measure("connections", found["used"], "Client sessions.")
    look.measure(
        "connections_limit", limit, "Client sessions that the server allows to those who are no superuser."
    )
    rows = look.session.rows(BY_STATE)
    look.report.add_table(
        "Sessions", ("database", "role", "state", "sessions"), [tuple(row.values()) for row in rows]
    )


def check_long_transactions(look: Look) -> None:
    """The transactions that are open for long."""
    found = look.session.rows(TRANSACTIONS)
    _judge_transactions(look, found, "open_for", "a transaction is open for", "no transaction is open")
    look.report.add_table(
        "Open transactions",
        ("pid", "database", "role", "application", "state", "open for", "query"),
        [
            (
                row["pid"], row["database"], row["role"], row["application"], row["state"],
                Seconds(row["open_for"]), row["query"],
            )
            for row in found[:10]
        ],
    )  # fmt: skip
    oldest = max((row["open_for"] for row in found), default=0)
    look.measure("oldest_transaction_seconds", oldest, "Age of the oldest open transaction, in seconds.")


def check_idle_in_transaction(look: Look) -> None:
    """Sessions that have begun a transaction and do nothing: the application waits, or forgot."""
    found = [row for row in look.session.rows(TRANSACTIONS) if row["state"].startswith("idle in transaction")]
    found.sort(key=lambda row: -row["state_for"])
    _judge_transactions(
        look, found, "state_for", "idle in transaction for", "no session is idle in a transaction"
    )
    look.measure("idle_in_transaction_sessions", len(found), "Sessions that are idle in a transaction.")


def _judge_transactions(look: Look, found: list[dict[str, Any]], age: str, words: str, nothing: str) -> None:
    """A finding for each transaction that is too old; one that all is well otherwise."""
    bad = [row for row in found if look.limits.level(row[age]) != "ok"]
    for row in bad:
        look.judge(
            row[age],
            f"{words} {time_text(row[age])}: pid {row['pid']}, {row['role']} in {row['database']} from"
            f" {row['client']} ({row['application']}), {row['state']}; last statement: {row['query']}",
        )
    if not bad:
        oldest = max((row[age] for row in found), default=None)
        look.say("ok", nothing if oldest is None else f"the oldest of {len(found)}: {time_text(oldest)}")


def check_prepared_transactions(look: Look) -> None:
    """Transactions of two-phase commit that nobody finished: they survive restarts and hold their locks."""
    found = look.session.rows(PREPARED)
    for row in found:
        look.judge(
            row["open_for"],
            f"{row['gid']} of {row['role']} in {row['database']} is prepared for {time_text(row['open_for'])}",
        )
    if not found:
        look.say("ok", "no transaction is prepared")
    look.measure("prepared_transactions", len(found), "Transactions that are prepared and not finished.")


def check_blocked(look: Look) -> None:
    """Who waits for a lock, and which session all of them wait for in the end."""
    found = look.session.rows(BLOCKED)
    waiting = {row["pid"]: row for row in found}
    others = sorted({pid for row in found for pid in row["blockers"]})
    blockers = {row["pid"]: row for row in look.session.rows(BLOCKERS, [others])}
    for row in found:
        roots = _roots(row["pid"], waiting)
        held_by = "; ".join(_described(pid, blockers) for pid in roots)
        look.judge(
            row["waited"],
            f"pid {row['pid']} ({row['role']} in {row['database']}) waits for {time_text(row['waited'])} with"
            f" “{row['query']}”, held up by {held_by or 'a session that has just ended'}",
        )
    if not found:
        look.say("ok", "no session waits for a lock")
    look.measure("blocked_sessions", len(found), "Sessions that wait for a lock.")
    longest = max((row["waited"] for row in found), default=0)
    look.measure("longest_lock_wait_seconds", longest, "Longest wait for a lock at this moment, in seconds.")


def _roots(pid: int, waiting: dict[int, dict[str, Any]]) -> list[int]:
    """Those at the end of the chain of waiting, who wait for nobody; nobody in a deadlock that is not broken yet."""
    seen: set[int] = set()
    ends: set[int] = set()
    ahead = [pid]
    while ahead:
        one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in waiting:
            ahead += waiting[one]["blockers"]
        else:
            ends.add(one)
    return sorted(ends)


def _described(pid: int, blockers: dict[int, dict[str, Any]]) -> str:
    row = blockers.get(pid)
    # A prepared transaction blocks as pid 0.
    if row is None:
        return "a prepared transaction (pg_prepared_xacts)" if pid == 0 else f"pid {pid}"
    age = f", its transaction open for {time_text(row['open_for'])}" if row["open_for"] is not None else ""
    return f"pid {pid} ({row['role']}, {row['application']}, {row['state']}{age}) with “{row['query']}”"


CHECKS = [
    Check(
        "rights",
        "Whether this role sees other roles' sessions and statistics.",
        "GRANT pg_monitor TO the role, or use one that has it: intowork_monitor, postgres.",
        check_rights,
    ),
    Check(
        "connections",
        "Client sessions against max_connections without those kept for the superuser. When they are used up, new"
        " clients get “sorry, too many clients already”.",
        "See the table of sessions: many “idle” of one role are a pool that is too large; many “active” wait for"
        " something, see blocked. Let clients go through pgBouncer (port 6432) before you raise max_connections.",
        check_connections,
        Limits(80, 95, "percent"),
        "share of the connections that are in use",
    ),
    Check(
        "long-transactions",
        "Transactions that are open for long, in all databases. VACUUM cannot remove what they may still see, and"
        " CONCURRENTLY waits for them.",
        "Is it a backup or a report, let it end. Otherwise: SELECT pg_cancel_backend(PID), and if that does not"
        " help pg_terminate_backend(PID).",
        check_long_transactions,
        Limits(300, 3600, "seconds"),
        "age of an open transaction",
    ),
    Check(
        "idle-in-transaction",
        "Sessions that began a transaction and send nothing: they keep locks and a connection of the pool.",
        "The application waits for something else inside a transaction, or lost its way: find it by its application"
        " and last statement. SELECT pg_terminate_backend(PID) frees it; idle_in_transaction_session_timeout on the"
        " role bounds it.",
        check_idle_in_transaction,
        Limits(60, 600, "seconds"),
        "how long a session is idle in its transaction",
    ),
    Check(
        "prepared-transactions",
        "Transactions of two-phase commit (PREPARE TRANSACTION) that were not finished. They outlive their session"
        " and a restart.",
        "Ask whoever coordinates them; then COMMIT PREPARED 'GID' or ROLLBACK PREPARED 'GID'.",
        check_prepared_transactions,
        Limits(300, 3600, "seconds"),
        "age of a prepared transaction",
    ),
    Check(
        "blocked",
        "Sessions that wait for a lock, and the session at the end of the chain that all of them wait for.",
        "Look at who holds them up, not at who waits: let it finish, or SELECT pg_cancel_backend(PID) of that one.",
        check_blocked,
        Limits(10, 60, "seconds"),
        "how long a session waits for a lock",
    ),
]  # fmt: skip
