"""Whether rows are the same: a checksum for each table, over chosen columns, in any order of the rows."""

from __future__ import annotations

from decimal import Decimal

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

CHECKSUM = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)::numeric), 0) FROM {}")


def columns(database: Database) -> Columns:
    """What the product's tables have."""
    return {table: frozenset(names) for table, names in database.rows(COLUMNS)}


def common(one: Columns, other: Columns) -> Columns:
    """Tables and columns that are in both."""
    return {table: one[table] & other[table] for table in one.keys() & other.keys()}


def checksums(database: Database, wanted: Columns) -> dict[str, tuple[int, Decimal]]:
    """Number of rows and the sum of their hashes, for each table of `wanted` over its columns."""
    with database.connect() as connection:
        found = {}
        for table, names in wanted.items():
            listed = sql.SQL(", ").join(map(sql.Identifier, sorted(names)))
            row = connection.execute(CHECKSUM.format(listed, sql.Identifier(*table.split(".")))).fetchone()
            assert row is not None
            found[table] = (row[0], row[1])
    return found
