"""Sample data in a database of any revision: in those tables that it has."""

from __future__ import annotations

from datetime import date

from psycopg import sql

from app.sample_data.load import TABLES
from app.sample_data.plan import Plan
from app.sample_data.world import make_world
from harness.cluster import Database


def fill(database: Database, jobs: int = 40, applications: int = 800) -> None:
    """Load a small world, the same each time; ids that are given later come after those loaded."""
    world = make_world(Plan(jobs, applications, seed=1, until=date(2026, 1, 16)))
    there = {name for (name,) in database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    with database.connect() as connection, connection.transaction():
        for table in TABLES:
            if table.name not in there:
                continue
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns.split()))
            )
            with connection.cursor().copy(into) as copy:
                copy.write("".join(table.lines(world)))
            connection.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), max(id) + 1) FROM {}").format(
                    sql.Literal(table.name), sql.Identifier(table.name)
                )
            )
