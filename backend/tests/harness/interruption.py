"""A migration that is killed: its session ends in the middle of one of its statements."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy

from harness.checksums import columns
from harness.cluster import Database
from harness.wait import until

WAITS = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"


def normal(statement: str) -> str:
    """A statement without what differs between a rendered script and what is sent to the server."""
    code = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
    return " ".join(code.replace("%%", "%").split()).removesuffix(";")


@contextmanager
def killed_in(engine: sqlalchemy.Engine, database: Database, statement: str) -> Iterator[None]:
    """Let no session of `engine` outlive `statement`, compared as `normal` writes it.

    Writers are at work on every table meanwhile. So a statement that has to wait for them is ended while it
    waits, half done where it works in steps: CREATE INDEX CONCURRENTLY leaves an invalid index then. One
    that waits for nobody is ended when it is done, and not committed.

    Raises:
        AssertionError: the statement never came.
    """
    with database.connect() as writer:
        writer.autocommit = False
        killer = _Killer(database, statement, writer)
        sqlalchemy.event.listen(engine, "before_cursor_execute", killer.before)
        sqlalchemy.event.listen(engine, "after_cursor_execute", killer.after)
        yield
        assert killer.thread is not None, f"never run: {statement}"
        killer.thread.join()
        until(killer.is_gone, "the killed session is gone")
        sqlalchemy.event.remove(engine, "before_cursor_execute", killer.before)
        sqlalchemy.event.remove(engine, "after_cursor_execute", killer.after)


class _Killer:
    def __init__(self, database: Database, statement: str, writer: psycopg.Connection[Any]) -> None:
        self.thread: threading.Thread | None = None
        self._database, self._statement, self._writer = database, statement, writer
        self._done = threading.Event()
        self._pid = 0

    def before(self, connection: sqlalchemy.Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if self.thread is None and normal(statement) == self._statement:
            self._pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            self._begin_to_write()
            self.thread = threading.Thread(target=self._kill)
            self.thread.start()

    def after(self, _connection: sqlalchemy.Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if self.thread is not None and normal(statement) == self._statement:
            self._done.set()
            self.thread.join()

    def is_gone(self) -> bool:
        return self._database.rows("SELECT FROM pg_stat_activity WHERE pid = %s", self._pid) == []

    def _begin_to_write(self) -> None:
        self._writer.execute("SELECT")  # begins the transaction that the locks stay in
        for table in [*columns(self._database), "public.alembic_version"]:
            try:
                with self._writer.transaction():
                    self._writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE NOWAIT")
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
                continue  # the migration's own by now

    def _kill(self) -> None:
        with self._database.connect() as watcher:
            until(
                lambda: self._done.is_set() or watcher.execute(WAITS, (self._pid,)).fetchone() == (True,),
                "the statement waits or is done",
            )
            watcher.execute("SELECT pg_terminate_backend(%s)", (self._pid,))
