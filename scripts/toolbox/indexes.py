"""The indexes of a database as its catalogs have them, and how much of each is wasted."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from toolbox.database import Session

SYSTEM_SCHEMAS = ("pg_catalog", "information_schema")
# A B-tree that grew by random inserts settles at leaves that are 69 % full (ln 2), where one just built has 90 %: 23 %
# are no bloat that a rebuild would take away for long.
BLOAT_PERCENT = 40.0
BLOAT_SIZE = 10 * 1024 * 1024
BTREE_FILLFACTOR = 90
# PostgreSQL's FirstNormalObjectId: what initdb made has smaller numbers, TOAST tables of the catalogs too.
FIRST_OWN_OID = 16384

INDEXES = """
SELECT i.indexrelid AS oid, i.indrelid AS table_oid, n.nspname AS schema, c.relname AS name,
       tn.nspname AS table_schema, t.relname AS "table", am.amname AS method, c.relkind AS kind,
       t.relpersistence AS persistence, i.indisvalid AS valid, i.indisready AS ready, i.indislive AS live,
       i.indisunique AS "unique", i.indisprimary AS "primary", i.indisexclusion AS exclusion,
       i.indisreplident AS replica_identity, i.indkey::text AS columns, i.indnkeyatts AS key_count,
       i.indclass::text AS operator_classes, i.indcollation::text AS collations, i.indoption::text AS directions,
       i.indnullsnotdistinct AS nulls_not_distinct,
       pg_get_expr(i.indexprs, i.indrelid) AS expressions, pg_get_expr(i.indpred, i.indrelid) AS predicate,
       con.conname AS constraint_name, pg_get_indexdef(i.indexrelid) AS definition,
       pg_relation_size(i.indexrelid) AS size, c.reltuples::float8 AS rows, c.reltablespace AS tablespace,
       coalesce(s.idx_scan, 0) AS scans, s.indexrelid IS NOT NULL AS counted,
       coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions)
                 WHERE option_name = 'fillfactor'), %(fillfactor)s) AS fillfactor,
       EXISTS (SELECT FROM pg_locks l
               WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (l.relation = i.indexrelid
                      OR (l.relation = i.indrelid
                          AND l.pid IN (SELECT pid FROM pg_stat_progress_create_index)))) AS in_work
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x')
LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
WHERE tn.nspname <> ALL (%(system)s) AND t.relpersistence <> 't' AND t.oid >= %(first_own)s
ORDER BY tn.nspname, t.relname, c.relname
"""
# How wide a row of an index is, from what ANALYZE saw: expressions have statistics under the index's name.
WIDTHS = """
SELECT count(*) AS columns, count(st.avg_width) AS known, coalesce(max(st.null_frac), 0)::float8 AS nulls,
       coalesce(sum((1 - st.null_frac) * st.avg_width), 0)::float8 AS width
FROM pg_attribute a
JOIN pg_index i ON i.indexrelid = a.attrelid
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_attribute ta ON ta.attrelid = t.oid AND ta.attnum = i.indkey[a.attnum - 1] AND ta.attnum > 0
LEFT JOIN pg_stats st ON st.schemaname = n.nspname AND NOT st.inherited
     AND st.tablename = CASE WHEN ta.attname IS NULL THEN c.relname ELSE t.relname END
     AND st.attname = coalesce(ta.attname, a.attname)
WHERE a.attrelid = %s
"""


@dataclass(frozen=True)
class Index:
    """A row of INDEXES."""

    oid: int
    table_oid: int
    schema: str
    name: str
    table_schema: str
    table: str
    method: str
    kind: str
    persistence: str
    valid: bool
    ready: bool
    live: bool
    unique: bool
    primary: bool
    exclusion: bool
    replica_identity: bool
    columns: str
    key_count: int
    operator_classes: str
    collations: str
    directions: str
    nulls_not_distinct: bool
    expressions: str | None
    predicate: str | None
    constraint_name: str | None
    definition: str
    size: int
    rows: float
    tablespace: int
    scans: int
    counted: bool
    fillfactor: int
    # Another session builds, rebuilds or drops it at this moment.
    in_work: bool

    @property
    def full_name(self) -> str:
        """With its schema."""
        return f"{self.schema}.{self.name}"

    @property
    def full_table(self) -> str:
        """Its table with the schema."""
        return f"{self.table_schema}.{self.table}"

    @property
    def identifier(self) -> sql.Identifier:
        """For a statement."""
        return sql.Identifier(self.schema, self.name)

    @property
    def quoted(self) -> str:
        """As a person would type it into psql."""
        return ".".join(_quoted(part) for part in (self.schema, self.name))

    @property
    def is_partitioned(self) -> bool:
        """Whether it has no pages of its own, only partitions."""
        return self.kind == "I"

    @property
    def keys(self) -> list[tuple[str, str, str, str]]:
        """Each key column with its operator class, collation and direction: what has to agree for the same order."""
        count = self.key_count
        return list(
            zip(
                self.columns.split()[:count],
                self.operator_classes.split()[:count],
                self.collations.split()[:count],
                self.directions.split()[:count] or [""] * count,
                strict=True,
            )
        )

    @property
    def included(self) -> set[str]:
        """Columns that are only carried along (INCLUDE)."""
        return set(self.columns.split()[self.key_count :])

    @property
    def labels(self) -> dict[str, str]:
        """For a figure."""
        return {"schema": self.schema, "table": self.table, "index": self.name}

    def makes_the_same_as(self, other: Index) -> bool:
        """Whether both have the same rows in the same order: table, method, keys, expressions, predicate."""
        return (
            self.table_oid == other.table_oid
            and self.method == other.method
            and self.keys == other.keys
            and self.included == other.included
            and self.expressions == other.expressions
            and self.predicate == other.predicate
        )


def read_indexes(session: Session) -> list[Index]:
    """All indexes but the system's and temporary ones; those of TOAST tables are among them."""
    values = {"system": list(SYSTEM_SCHEMAS), "fillfactor": BTREE_FILLFACTOR, "first_own": FIRST_OWN_OID}
    # One that is dropped while this runs has no size and no definition any more.
    return [
        Index(**row) for row in session.rows(INDEXES, values) if row["size"] is not None and row["definition"]
    ]


def leftover_of(index: Index, others: list[Index]) -> Index | None:
    """The index that a REINDEX CONCURRENTLY, killed midway, wanted to replace with this one (_ccnew) or has (_ccold).

    Nothing else is a leftover: not a valid index of such a name, not one that is being built, not an invalid one that
    no index beside it explains. PostgreSQL shortens a long name to make room for the ending.
    """
    found = re.fullmatch(r"(.+)_cc(?:new|old)\d*", index.name)
    if index.valid or index.in_work or not found:
        return None
    shortened = len(index.name.encode()) >= 60
    for other in others:
        fits = other.name.startswith(found[1]) if shortened else other.name == found[1]
        if fits and other.oid != index.oid and index.makes_the_same_as(other):
            return other
    return None


@dataclass(frozen=True)
class Bloat:
    """How many bytes of an index a rebuild would give back, by which measure."""

    wasted: int
    percent: float
    method: str


def pgstattuple_schema(session: Session) -> str | None:
    """Where pgstatindex is, if this session may call it."""
    schema = session.schema_of("pgstattuple")
    if schema is None:
        return None
    function = f"{_quoted(schema)}.pgstatindex(regclass)"
    allowed = session.row("SELECT has_function_privilege(%s, 'EXECUTE') AS allowed", [function])["allowed"]
    return schema if allowed else None


def measure(session: Session, index: Index, schema: str | None) -> Bloat | None:
    """The bloat of a B-tree: exact with pgstattuple's schema, otherwise estimated; None where it cannot be known."""
    if index.method != "btree" or index.is_partitioned or not index.valid or not index.size:
        return None
    block = int(session.row("SELECT current_setting('block_size')::int AS size")["size"])
    if schema is None:
        return _estimate(session, index, block)
    try:
        return _exact(session, index, schema, block)
    except psycopg.errors.InternalError_:
        # "could not open relation with OID": it was dropped meanwhile.
        if session.rows("SELECT FROM pg_class WHERE oid = %s", [index.oid]):
            raise
        return None


def _exact(session: Session, index: Index, schema: str, block: int) -> Bloat:
    """From pgstatindex, which reads all pages of the index."""
    query = sql.SQL("SELECT * FROM {}.pgstatindex({}::oid::regclass)").format(
        sql.Identifier(schema), sql.Literal(index.oid)
    )
    stat = session.row(query)
    pages = stat["index_size"] / block
    density = float(stat["avg_leaf_density"])
    # NaN where there is no leaf.
    leaves = 0 if math.isnan(density) else stat["leaf_pages"] * density / index.fillfactor
    needed = math.ceil(leaves) + stat["internal_pages"] + 1
    return _bloat(pages, needed, block, "pgstattuple")


def _estimate(session: Session, index: Index, block: int) -> Bloat | None:
    """From the number of rows and their width in the statistics.

    The formula is that of ioguix' btree_bloat query (pgsql-bloat-estimation): an entry is a header of 8 bytes (12 with
    NULLs), the values, both aligned to 8, and a line pointer of 4; a page has 24 bytes of header and 16 at its end.
    Entries of the same key share their key since PostgreSQL 13, so with many equal keys the true bloat is larger.
    """
    stat: dict[str, Any] = session.row(WIDTHS, [index.oid])
    if index.rows < 0 or stat["known"] < stat["columns"]:
        return None
    header = 8 if not stat["nulls"] else 12
    entry = 4 + _aligned(header) + _aligned(stat["width"])
    room = (block - 24 - 16) * index.fillfactor / 100
    needed = math.ceil(index.rows * entry / room) + 1
    return _bloat(index.size / block, needed, block, "estimate")


def _bloat(pages: float, needed: float, block: int, method: str) -> Bloat:
    wasted = max(0.0, pages - needed)
    return Bloat(int(wasted * block), 100 * wasted / pages if pages else 0.0, method)


def _aligned(size: float) -> int:
    return math.ceil(size / 8) * 8


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name)
    return name if plain else '"' + name.replace('"', '""') + '"'
