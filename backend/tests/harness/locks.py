"""Which tables a migration keeps others out of, and whether somebody has to wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy

from harness.cluster import Database

# What stops those who write rows, in tables of the product.
CLOSED = """
SELECT relation::regclass::text FROM pg_locks JOIN pg_class c ON c.oid = relation
WHERE pid = %s AND granted AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""


@contextmanager
def watched(engine: sqlalchemy.Engine, database: Database) -> Iterator[set[frozenset[str]]]:
    """The sets of tables that sessions of `engine` kept closed to writers at the same time.

    Looked at after each statement. A lock is held until the end of its transaction, so none escapes but that
    of a statement which is a transaction of its own.
    """
    held: set[frozenset[str]] = set()

    def look(connection: sqlalchemy.Connection, *_rest: Any) -> None:
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        held.add(frozenset(name for (name,) in database.rows(CLOSED, pid)))

    sqlalchemy.event.listen(engine, "after_cursor_execute", look)
    yield held
    sqlalchemy.event.remove(engine, "after_cursor_execute", look)


def shut(database: Database, tables: list[str]) -> list[str]:
    """Those of `tables` for which somebody who wants to write a row would have to wait now."""
    found = []
    for table in tables:
        with database.connect() as writer:
            try:
                with writer.transaction():
                    writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE NOWAIT")
            except psycopg.errors.LockNotAvailable:
                found.append(table)
    return found
