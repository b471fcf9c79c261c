"""What is in a database, to be seen beside another: rows of each table, the schema's revision, the last heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from toolbox.output import Table

TABLES = """
SELECT n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
-- Of a table that is not logged nothing is in the WAL, and a server in recovery refuses to read it.
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2
"""

Connect = Callable[[str], psycopg.Connection[Any]]


@dataclass(frozen=True)
class Contents:
    """Rows by table, such as public.jobs. `revision` is Alembic's, empty where the database has none."""

    rows: dict[str, int] = field(default_factory=dict)
    revision: str = ""
    heartbeat: datetime | None = None
    bytes: int = 0


def look(connect: Connect, database: str, version_table: str) -> Contents:
    """Count exactly, in one snapshot; nothing where the cluster has no such database. `version_table` is Alembic's."""
    with connect("postgres") as session:
        there = session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        beats = session.execute("SELECT to_regclass('bundle.heartbeat') IS NOT NULL").fetchone()
        beat = (
            session.execute("SELECT max(beat_at) FROM bundle.heartbeat").fetchone()
            if beats and beats[0]
            else None
        )
    if not there:
        return Contents(heartbeat=beat[0] if beat else None)
    with connect(database) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session.execute("SET LOCAL statement_timeout = 0")
        rows: dict[str, int] = {}
        for schema, table in session.execute(TABLES).fetchall():
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            found = session.execute(count).fetchone()
            rows[f"{schema}.{table}"] = int(found[0]) if found else 0
        revision = read_revision(session, version_table)
        size = session.execute("SELECT pg_database_size(current_database())").fetchone()
    return Contents(rows, revision, beat[0] if beat else None, int(size[0]) if size else 0)


def read_revision(session: psycopg.Connection[Any], version_table: str) -> str:
    """The schema's revision, or all of them; empty where Alembic has no table yet."""
    found = session.execute("SELECT to_regclass(%s)::text", [version_table]).fetchone()
    if found is None or found[0] is None:
        return ""
    # A regclass is written as a statement has it, with quotes where it needs them.
    statement = sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(sql.SQL(found[0]))
    return ",".join(row[0] for row in session.execute(statement).fetchall())


def beside(restored: dict[str, int], live: dict[str, int], title: str = "Rows") -> Table:
    """The counts of both, and what would come back (+) or go (-)."""
    names = sorted(restored.keys() | live.keys())
    rows = [
        (
            name,
            restored.get(name),
            live.get(name),
            difference(restored.get(name), live.get(name)),
        )
        for name in names
    ]
    return Table(title, ("table", "restored", "live", "difference"), rows)


def difference(restored: int | None, live: int | None) -> str:
    """What a switch would do to a table, in words."""
    if restored is None:
        return "goes"
    if live is None:
        return "comes back"
    return f"{restored - live:+,}" if restored != live else ""
