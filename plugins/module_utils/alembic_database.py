"""What the alembic module itself asks of PostgreSQL: the lock, the revision, invalid indexes, blockers and
rights.

Every session is autocommit: one that idles in a transaction would block CREATE INDEX CONCURRENTLY for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any

# Two keys of one class: who conducts, and (shared) every connection on which a revision runs. The second
# outlives a conductor that was killed, since a server process ends only after its statement.
LOCK_CLASS = 1_634_493_794  # "alem", so that it is recognised in pg_locks
CONDUCTOR, MIGRATION = 1, 2
JOIN_MIGRATION = f"SELECT pg_advisory_lock_shared({LOCK_CLASS}, {MIGRATION})"
_POLL = 0.2  # seconds between two tries
_GRACE = 5.0  # seconds that a leaderless migration may take to end by itself

_INVALID = """
SELECT format('%I.%I', s.nspname, t.relname), format('%I.%I', n.nspname, c.relname),
       pg_has_role(c.relowner, 'USAGE'),
       ARRAY(SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND a.usesysid IS NOT NULL AND l.pid <> pg_backend_pid())
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_namespace s ON s.oid = t.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 2
"""

_SESSIONS = """
SELECT pid, usename, nullif(application_name, ''), host(client_addr), to_char(xact_start, 'HH24:MI:SS'),
       to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), state,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 120)
FROM pg_stat_activity WHERE pid = ANY(%s) ORDER BY pid
"""

_USERS = """
SELECT DISTINCT pid FROM pg_locks
WHERE locktype = 'relation' AND granted AND relation = to_regclass(%s) AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_GRANTED = """
SELECT acl.privilege_type FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
WHERE c.oid = to_regclass(%s) AND r.rolname = %s
"""
_WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")


class DatabaseError(RuntimeError):
    """Something about the database that stops the work; the message says what to do."""


class Database:
    """One autocommit session; `connect` is psycopg2.connect, so that this file imports no driver."""

    def __init__(self, connect: Callable[..., Any], parameters: Mapping[str, str], name: str) -> None:
        words = {"application_name": name, "connect_timeout": "10", "keepalives_idle": "30", **parameters}
        self._connection = connect(**words)
        self._connection.autocommit = True

    def close(self) -> None:
        """Ends the session, and with it the locks that it holds."""
        self._connection.close()

    def rows(self, statement: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query; an empty list of one that returns none."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def value(self, statement: str, values: Sequence[object] | None = None) -> Any:
        """The first column of the only row."""
        return self.rows(statement, values)[0][0]

    def copy_out(self, query: str, file: IO[bytes]) -> None:
        """The rows of a query as CSV with a header, in UTF-8."""
        with self._connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')", file)

    def revisions(self, version_table: str) -> tuple[str, ...]:
        """What the version table holds; nothing when it does not exist."""
        name = self.value("SELECT to_regclass(%s)::text", [version_table])
        if name is None:
            return ()
        return tuple(sorted(row[0] for row in self.rows(f"SELECT version_num FROM {name}")))  # noqa: S608 -- regclass

    def describe(self, pids: Iterable[int]) -> list[str]:
        """Sessions in words. PostgreSQL hides another role's query and times; what it shows is said."""
        # As the role that logged in: the owner role, which the migrator becomes, may not see the migrator's.
        self.rows("SET ROLE NONE")
        try:
            return self._described(pids)
        finally:
            self.rows("RESET ROLE")

    def _described(self, pids: Iterable[int]) -> list[str]:
        found = []
        for pid, user, application, address, transaction, start, state, query in self.rows(
            _SESSIONS, [list(pids)]
        ):
            words = [f"pid {pid}", f"role {user}" if user else ""]
            words += [
                f"application {application}" if application else "",
                f"from {address}" if address else "",
            ]
            words += [
                f"connected since {start}" if start else "",
                f"in a transaction since {transaction}" if transaction else "",
            ]
            words += [state or "", f"last statement: {query}" if query and state else ""]
            found.append(", ".join(word for word in words if word))
        return found

    def blockers(self, pids: Iterable[int]) -> list[str]:
        """Who holds what these server processes wait for."""
        blocking = self.rows(
            "SELECT DISTINCT b FROM unnest(%s::int[]) p, unnest(pg_blocking_pids(p)) b WHERE b > 0",
            [list(pids)],
        )
        return self.describe(row[0] for row in blocking) if blocking else []

    def lock(self, timeout: float) -> list[str]:
        """Makes this session the only conductor, and ends what a dead one left running; returns what was
        ended.

        Polled: a session that *waits* for an advisory lock holds a snapshot, and CREATE INDEX CONCURRENTLY
        waits for that. Raises DatabaseError, naming the holder, after `timeout` seconds.
        """
        self._poll_for(CONDUCTOR, timeout, "another migration of this database is running")
        return self._end_leaderless()

    def _try(self, key: int) -> bool:
        return bool(self.value("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, key]))

    def _holders(self, key: int) -> list[int]:
        rows = self.rows(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s"
            " AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = "
            "current_database())",
            [LOCK_CLASS, key],
        )
        return [row[0] for row in rows]

    def _poll_for(self, key: int, timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not self._try(key):
            if time.monotonic() >= deadline:
                holders = self.describe(self._holders(key)) or ["a session that has just ended"]
                raise DatabaseError(
                    f"{what}: {'; '.join(holders)}. Waited {timeout:g} s. Let it finish and run this "
                    "again; if it is "
                    "truly stuck, end it on the database with SELECT pg_terminate_backend(PID)."
                )
            time.sleep(_POLL)

    def _end_leaderless(self) -> list[str]:
        """We conduct, so a connection that still migrates has lost its conductor."""
        deadline = time.monotonic() + _GRACE
        while not self._try(MIGRATION):
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL)
        else:
            self.rows("SELECT pg_advisory_unlock(%s, %s)", [LOCK_CLASS, MIGRATION])
            return []
        pids = self._holders(MIGRATION)
        ended = self.describe(pids)
        # Nor may the owner role end the migrator's sessions.
        self.rows("SET ROLE NONE")
        self.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [pids])
        self.rows("RESET ROLE")
        self._poll_for(MIGRATION, 30.0, "a migration whose conductor was killed is still running")
        self.rows("SELECT pg_advisory_unlock(%s, %s)", [LOCK_CLASS, MIGRATION])
        return ended

    def invalid_indexes(self) -> list[str]:
        """schema.index of every index that PostgreSQL does not use because its build never finished."""
        return [row[1] for row in self.rows(_INVALID)]

    def drop_invalid_indexes(self, lock_timeout: float) -> list[str]:
        """Drops them without blocking anyone, and returns their names.

        One that another session is building right now is left alone. Raises DatabaseError for one that this
        role does not own, or when a transaction held the table for longer than `lock_timeout` seconds.
        """
        dropped = []
        for table, name, own, builders in self.rows(_INVALID):
            if builders:
                raise DatabaseError(
                    f"index {name} on {table} is invalid, or being built right now: "
                    f"{'; '.join(self.describe(builders))} works on that table. Run this again after that."
                )
            if not own:
                raise DatabaseError(
                    f"index {name} on {table} is invalid, and this role may not drop it. "
                    f"As its owner: DROP INDEX CONCURRENTLY {name}, then run this again."
                )
            self.rows(f"SET lock_timeout = {int(lock_timeout * 1000)}")
            try:
                self.rows(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            except Exception as error:
                if getattr(error, "pgcode", None) != "55P03":
                    raise
                users = self.describe(row[0] for row in self.rows(_USERS, [table])) or ["a session now gone"]
                raise DatabaseError(
                    f"the invalid index {name} could not be dropped for {lock_timeout:g} s: {table} is in "
                    f"use by {'; '.join(users)}. End that or wait for it; the next run drops the index first."
                ) from error
            dropped.append(name)
        return dropped

    def check_role(self, role: str) -> None:
        """Raises DatabaseError for a role that does not exist."""
        if not self.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            raise DatabaseError(f'app_roles has "{role}", which is no role of this database server.')

    def make_read_only(self, table: str, role: str, *, check: bool) -> bool:
        """Leaves `role` with SELECT alone on `table`; whether that changed (in check mode: would change) it.

        A table that does not exist is no change. Raises DatabaseError for an unknown role.
        """
        self.check_role(role)
        name = self.value("SELECT to_regclass(%s)::text", [table])
        if name is None:
            return False
        quoted = self.value("SELECT quote_ident(%s)", [role])
        excess = sorted({row[0] for row in self.rows(_GRANTED, [table, role])} & set(_WRITES))
        missing = not self.value("SELECT has_table_privilege(%s, %s, 'SELECT')", [role, name])
        if not check:
            if excess:
                self.rows(f"REVOKE {', '.join(excess)} ON {name} FROM {quoted}")
            if missing:
                self.rows(f"GRANT SELECT ON {name} TO {quoted}")
        return bool(excess or missing)

    def writers(self, table: str, role: str) -> list[str]:
        """What `role` may still do to `table` besides reading: by PUBLIC, another role, or as superuser."""
        rows = self.rows(
            "SELECT p FROM unnest(%s::text[]) p WHERE to_regclass(%s) IS NOT NULL"
            " AND has_table_privilege(%s, to_regclass(%s), p)",
            [list(_WRITES), table, role, table],
        )
        return [row[0] for row in rows]
