"""Asking a database whether rows break a rule."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from app.data_check.checks import Check, Columns, checks

COLUMNS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = 'public' GROUP BY table_name
"""
# Without these nothing can be said.
NEEDED = frozenset({"users", "accounts", "jobs", "job_applications"})


class NoTablesError(Exception):
    """The database is not one of the product."""


class Problem(NamedTuple):
    """Rows that together break a rule: what they have in common, and their ids."""

    of: str
    ids: list[int]


class Found(NamedTuple):
    """What one check found; nothing when the data keeps to the rule."""

    check: Check
    problems: list[Problem]


def read_columns(connection: psycopg.Connection[Any]) -> Columns:
    """The tables and columns that there are, and that the role may use.

    Raises:
        NoTablesError: the product's tables are not among them.
    """
    columns = {table: frozenset(names) for table, names in connection.execute(COLUMNS)}
    missing = sorted(NEEDED - columns.keys())
    if missing:
        raise NoTablesError(
            f"the database has no table {', '.join(missing)} that this role may read; migrate first"
        )
    return columns


def ask(connection: psycopg.Connection[Any], check: Check) -> list[Problem]:
    """The rows that break one rule."""
    return [Problem(of, ids) for of, ids in connection.execute(check.question.encode())]


def look(connection: psycopg.Connection[Any]) -> list[Found]:
    """Ask all checks, of one state of the data; the transaction ends with it.

    Raises:
        NoTablesError: it is not a database of the product.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return [Found(check, ask(connection, check)) for check in checks(read_columns(connection))]
