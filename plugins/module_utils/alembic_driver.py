"""Runs one Alembic revision after another in the product's own Python, as told through a socket.

This file's source is handed to the product's interpreter (see `alembic_process`), so it imports nothing but
the standard library and, once started, the product's Alembic and SQLAlchemy. It decides nothing: what to run,
whether to try again and when to stop is the module's business. Each command and each event is one JSON object
on a line.

Commands: {"do": "upgrade"|"downgrade", "revision"}, {"do": "render", "from": [ids], "to", "down"}.
Events: ready, session (a server process id), stuck (a CONCURRENTLY statement waits for {"do":
"again"|"stop"}), done, failed, sql, fatal; in a rehearsal also locks (those that a transaction holds).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

RETRYABLE = ("55P03", "40P01")  # lock_not_available, deadlock_detected
_LONGEST_MESSAGE = 2000  # characters
_ABORTED = "25P02"  # in_failed_sql_transaction: always a consequence of an earlier error
_CONCURRENTLY = re.compile(r"^\s*(CREATE|DROP|REINDEX|ALTER)\b.*\bCONCURRENTLY\b", re.I | re.S)
_NOT_A_CHANGE = re.compile(
    r"^\s*(SELECT|SHOW|EXPLAIN|SET|RESET|SAVEPOINT|RELEASE|BEGIN|START|ROLLBACK)\b", re.I
)
_FORGETS_THE_LIMIT = re.compile(
    r"^\s*(RESET\s+(lock_timeout|ALL)|SET\s+lock_timeout\s*(=|TO)\s*DEFAULT)\b", re.I
)
_COMMIT = re.compile(r"^\s*(COMMIT|END)\b", re.I)
# Without those on the catalogs, whose oids are smaller than that of the first object of a user.
_OWN_LOCKS = """
SELECT mode, relation::bigint FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND relation >= 16384
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Driver:
    """The product's side of the conversation."""

    def __init__(self, channel: socket.socket, job: dict[str, Any]) -> None:
        self._lines = channel.makefile("rw", encoding="utf-8", newline="\n")
        self._job = job
        self._first_error: dict[str, Any] | None = None
        self._committed: list[str] = []

    def emit(self, event: str, **values: Any) -> None:
        self._lines.write(json.dumps({"event": event, **values}) + "\n")
        self._lines.flush()

    def serve(self) -> None:
        """Until the module closes its end."""
        try:
            # The working directory must not shadow Alembic itself, but the product's env.py may import from
            # it.
            while "" in sys.path:
                sys.path.remove("")
            import alembic
            import sqlalchemy

            sys.path.append(str(Path.cwd()))
        except ImportError as error:
            self.emit("fatal", error=f"{type(error).__name__}: {error}")
            return
        self._listen()
        if self._job.get("watch_locks"):
            self._watch_locks()
        self.emit("ready", alembic=alembic.__version__, sqlalchemy=sqlalchemy.__version__, pid=os.getpid())
        for line in self._lines:
            command = json.loads(line)
            if command["do"] == "render":
                self._render(command)
            else:
                self._run(command)

    def _run(self, command: dict[str, Any]) -> None:
        from alembic import command as commands

        self._first_error, self._committed = None, []
        begun = time.monotonic()
        try:
            getattr(commands, command["do"])(self._config(), command["revision"])
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever the product raises is an answer
            self.emit("failed", seconds=time.monotonic() - begun, **self._explain(error))
        else:
            self.emit("done", seconds=time.monotonic() - begun, committed=self._committed)

    def _render(self, command: dict[str, Any]) -> None:
        """SQL of one revision, offline. `from` holds the revisions that the database has just before it."""
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory

        self._first_error, self._committed = None, []
        text = io.StringIO()
        try:
            config = self._config(text)
            script = ScriptDirectory.from_config(config)
            steps = script._downgrade_revs if command["down"] else script._upgrade_revs
            # What `alembic upgrade FROM:TO --sql` does, which can name only one FROM: a merge has two.
            with EnvironmentContext(
                config,
                script,
                fn=lambda revisions, _context: steps(command["to"], revisions),
                as_sql=True,
                starting_rev=tuple(command["from"]) or None,
                destination_rev=command["to"],
            ):
                script.run_env()
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever the product raises is an answer
            self.emit("failed", seconds=0.0, **self._explain(error))
        else:
            self.emit("sql", sql=text.getvalue())

    def _config(self, output: io.StringIO | None = None) -> Any:
        from alembic.config import Config

        name = self._job["config"]
        words: dict[str, Any] = {"toml_file": name} if name.endswith(".toml") else {"file_": name}
        if output is not None:
            words["output_buffer"] = output
        config = Config(**words)
        # Some env.py read their own options (-x) and the parsed command line.
        config.cmd_opts = None
        return config

    def _explain(self, error: BaseException) -> dict[str, Any]:
        found = _database_error(error) or {}
        if self._first_error and (not found or found["sqlstate"] == _ABORTED):
            found = self._first_error
        lines = str(error).strip().splitlines()
        return {
            "kind": type(error).__name__,
            "error": found.get("error")
            or (f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__),
            "sqlstate": found.get("sqlstate"),
            "detail": found.get("detail"),
            "hint": found.get("hint"),
            "statement": found.get("statement"),
            "location": _location(error),
            "committed": self._committed,
        }

    def _listen(self) -> None:
        """Limits on every connection that the product opens, and a memory of what it commits."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        @event.listens_for(Engine, "connect")
        def connected(connection: Any, _record: Any) -> None:
            if not re.search(r"psycopg|postgresql|pg8000", type(connection).__module__):
                return
            cursor = connection.cursor()
            for statement in self._job["on_connect"]:
                cursor.execute(statement)
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
            cursor.close()
            # A SET within a transaction that is rolled back later would be gone again.
            connection.commit()
            self.emit("session", pid=pid)

        @event.listens_for(Engine, "do_execute")
        def execute(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
            if self._job.get("on_concurrently") and _CONCURRENTLY.match(statement):
                self._execute_concurrently(cursor, statement, parameters)
                return True
            return False

        @event.listens_for(Engine, "do_execute_no_params")
        def execute_no_params(cursor: Any, statement: str, _context: Any) -> bool:
            if self._job.get("on_concurrently") and _CONCURRENTLY.match(statement):
                self._execute_concurrently(cursor, statement, None)
                return True
            return False

        @event.listens_for(Engine, "after_cursor_execute")
        def executed(connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
            if _FORGETS_THE_LIMIT.match(statement) and self._job["on_connect"]:
                cursor.execute(self._job["on_connect"][0])
            pending = connection.info.setdefault("bundle_pending", [])
            if _COMMIT.match(statement):
                self._committed += pending
                pending.clear()
            elif not _NOT_A_CHANGE.match(statement) and self._job["version_table"] not in statement:
                (self._committed if _is_autocommit(connection) else pending).append(_short(statement))

        @event.listens_for(Engine, "commit")
        def committed(connection: Any) -> None:
            self._committed += connection.info.pop("bundle_pending", [])

        @event.listens_for(Engine, "rollback")
        def rolled_back(connection: Any) -> None:
            connection.info.pop("bundle_pending", None)

        @event.listens_for(Engine, "handle_error")
        def failed(context: Any) -> None:
            if self._first_error is None and context.sqlalchemy_exception is not None:
                self._first_error = _database_error(context.sqlalchemy_exception)

    def _watch_locks(self) -> None:
        """Tell which locks on relations a transaction holds, after each statement that changed that.

        Times are of the monotonic clock, which all processes of a host share. A lock counts from the beginning of the
        statement that took it to the commit: locks are held until then.
        """
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        def tell(connection: Any, since: float) -> None:
            with contextlib.suppress(Exception):  # in a transaction that failed nothing can be asked
                cursor = connection.connection.cursor()
                cursor.execute(_OWN_LOCKS)
                locks = sorted((mode, oid) for mode, oid in cursor.fetchall())
                cursor.close()
                if locks != connection.info.get("bundle_locks", []):
                    connection.info["bundle_locks"] = locks
                    self.emit("locks", session=id(connection.info), since=since, locks=locks)

        def released(connection: Any) -> None:
            if connection.info.pop("bundle_locks", []):
                self.emit("locks", session=id(connection.info), since=time.monotonic(), locks=[])

        @event.listens_for(Engine, "before_cursor_execute")
        def begins(connection: Any, *_rest: Any) -> None:
            connection.info["bundle_began"] = time.monotonic()

        @event.listens_for(Engine, "after_cursor_execute")
        def executed(connection: Any, *_rest: Any) -> None:
            tell(connection, connection.info["bundle_began"])

        @event.listens_for(Engine, "commit")
        def commits(connection: Any) -> None:
            # What the product did past SQLAlchemy is seen here.
            tell(connection, time.monotonic())
            released(connection)

        @event.listens_for(Engine, "rollback")
        def rolls_back(connection: Any) -> None:
            released(connection)

    def _execute_concurrently(self, cursor: Any, statement: str, parameters: Any) -> None:
        """With its own limit, and repeated alone: what the revision did before it is committed already."""
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
        before = f"SET lock_timeout = {cursor.fetchone()[0]}"
        # A revision that has set a limit of its own knows better.
        own = before != self._job["on_connect"][0]
        attempt = 0
        while True:
            attempt += 1
            if not own:
                cursor.execute(self._job["on_concurrently"])
            try:
                cursor.execute(statement) if not parameters else cursor.execute(statement, parameters)
                return
            except Exception as error:
                if _sqlstate(error) not in RETRYABLE:
                    raise
                self.emit("stuck", attempt=attempt, **_described(error, statement))
                if json.loads(self._lines.readline() or '{"do": "stop"}')["do"] != "again":
                    raise
            finally:
                # In a transaction that failed nothing can be set, and the rollback takes the limit back with
                # it.
                with contextlib.suppress(Exception):
                    cursor.execute(before)


def _sqlstate(error: BaseException) -> str | None:
    """psycopg says sqlstate, psycopg2 pgcode; SQLAlchemy's asyncpg has both."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _described(error: BaseException, statement: str | None) -> dict[str, Any]:
    """What PostgreSQL said: message, detail and hint, wherever the driver keeps them."""
    said = getattr(error, "diag", None)
    native = error.__cause__ or error
    message = getattr(said, "message_primary", None) or getattr(native, "message", None) or str(native)
    return {
        # Some name the rows that stop them, one a line.
        "error": str(message).strip()[:_LONGEST_MESSAGE] or type(error).__name__,
        "sqlstate": _sqlstate(error),
        "detail": getattr(said, "message_detail", None) or getattr(native, "detail", None),
        "hint": getattr(said, "message_hint", None) or getattr(native, "hint", None),
        "statement": _short(statement) if statement else None,
    }


def _chain(error: BaseException | None) -> list[BaseException]:
    """The exception and everything that led to it, the newest first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _database_error(error: BaseException) -> dict[str, Any] | None:
    """The database's own error within an exception; the earliest one that is not a mere consequence."""
    # Only SQLAlchemy's own errors have both; those of its asyncpg adapter have an orig too.
    found = [
        (getattr(one, "orig", None), one.statement) for one in _chain(error) if hasattr(one, "statement")
    ]
    described = [_described(orig, statement) for orig, statement in found if isinstance(orig, BaseException)]
    causes = [one for one in described if one["sqlstate"] != _ABORTED] or described
    return causes[-1] if causes else None


def _location(error: BaseException) -> str | None:
    """The line of the product that failed: the innermost frame that is in no library."""
    here = Path.cwd().resolve()
    frames = traceback.extract_tb(_chain(error)[0].__traceback__)
    # <string> and the like are functions that Alembic makes.
    names = [one for one in frames if "site-packages" not in one.filename and one.filename[0] != "<"]
    files = [(Path(one.filename).resolve(), one.lineno) for one in names]
    own = [(file, line) for file, line in files if file.is_relative_to(here)]
    return f"{own[-1][0].relative_to(here)}:{own[-1][1]}" if own else None


def _is_autocommit(connection: Any) -> bool:
    level = connection.get_execution_options().get("isolation_level")
    return (level or getattr(connection.dialect, "_on_connect_isolation_level", None)) == "AUTOCOMMIT"


def _short(statement: str, length: int = 300) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _die_with_parent(parent: int) -> None:
    """A migration without its conductor holds locks that nobody will release."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def main() -> None:
    """Arguments: the socket's descriptor, the parent's process id, the job as JSON."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    _die_with_parent(int(sys.argv[2]))
    Driver(socket.socket(fileno=descriptor), json.loads(sys.argv[3])).serve()


if __name__ == "__main__":
    main()
