"""Whether rows are the same, and the next one gets the same id: for each table a checksum over chosen
columns, in any order of the rows, and where its sequences are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from psycopg import sql

from harness.cluster import Database

Columns = dict[str, frozenset[str]]
"""The columns of each table, by its name with the schema."""

COLUMNS = """
SELECT n.nspname || '.' || c.relname, array_agg(a.attname::text)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname IN ('public', 'audit') AND c.relname <> 'alembic_version'
GROUP BY 1
"""

SEQUENCES = """
SELECT n.nspname || '.' || c.relname, s.objid::regclass::text, p.last_value
FROM pg_depend s
JOIN pg_class c ON c.oid = s.refobjid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class q ON q.oid = s.objid AND q.relkind = 'S'
JOIN pg_sequences p ON p.schemaname = q.relnamespace::regnamespace::text AND p.sequencename = q.relname
WHERE s.classid = 'pg_class'::regclass AND s.deptype IN ('a', 'i')
ORDER BY 1, 2
"""

CHECKSUM = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)::numeric), 0) FROM {}")


def columns(database: Database) -> Columns:
    """What the product's tables have."""
    return {table: frozenset(names) for table, names in database.rows(COLUMNS)}


def common(one: Columns, other: Columns) -> Columns:
    """Tables and columns that are in both."""
    return {table: one[table] & other[table] for table in one.keys() & other.keys()}


class Checksum(NamedTuple):
    """What is in a table.

    Attributes:
        rows: how many there are.
        hashes: the sum of their hashes.
        sequences: the last value of each sequence of the table; None for one that was not used yet.
    """

    rows: int
    hashes: Decimal
    sequences: tuple[tuple[str, int | None], ...]


def checksums(database: Database, wanted: Columns) -> dict[str, Checksum]:
    """The checksum of each table of `wanted`, over its columns."""
    sequences: dict[str, list[tuple[str, int | None]]] = {}
    for table, name, last in database.rows(SEQUENCES):
        sequences.setdefault(table, []).append((name, last))
    with database.connect() as connection:
        found = {}
        for table, names in wanted.items():
            listed = sql.SQL(", ").join(map(sql.Identifier, sorted(names)))
            row = connection.execute(CHECKSUM.format(listed, sql.Identifier(*table.split(".")))).fetchone()
            assert row is not None
            found[table] = Checksum(row[0], row[1], tuple(sequences.get(table, ())))
    return found
