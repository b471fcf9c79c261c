"""What a database is like at one moment: its schema as text, its relations' files and sizes, its rows' checksums.

Nothing of a row leaves the database: checksums are made there, and counts.
"""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.database_url import DatabaseUrl

Rows = Callable[..., list[tuple[Any, ...]]]

_OWN = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
_RELATIONS = f"""
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind::text, pg_relation_filenode(c.oid)::bigint,
       CASE WHEN c.relkind IN ('r', 'm', 'i') THEN pg_relation_size(c.oid) ELSE 0 END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN}
"""  # noqa: S608 -- of constants
_WRITTEN = "SELECT relid::bigint, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
# Extensions' tables are theirs; partitions are read by their table.
_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname), has_table_privilege(c.oid, 'SELECT'),
       ARRAY(SELECT attname::text FROM pg_attribute
             WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_OWN}
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""  # noqa: S608 -- of constants
# As one text for each value, whatever the session's defaults are.
_PLAIN = "SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC; SET extra_float_digits = 1"
# Random in each dump of PostgreSQL 15.14 and newer.
_RANDOM = ("\\restrict ", "\\unrestrict ")


class SchemaError(RuntimeError):
    """The schema cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Relation:
    """A table, index or the like. `file` changes when it is written anew; `bytes` are those of its main fork."""

    name: str
    kind: str
    file: int | None
    bytes: int


@dataclass(frozen=True)
class Content:
    """The rows of a table: how many, and a checksum of these columns that does not depend on their order."""

    columns: tuple[str, ...]
    rows: int
    checksum: str


def relations(rows: Rows) -> dict[int, Relation]:
    """All relations of the product, by oid."""
    return {oid: Relation(name, kind, file, size) for oid, name, kind, file, size in rows(_RELATIONS)}


def rewritten(before: Mapping[int, Relation], after: Mapping[int, Relation]) -> list[Relation]:
    """Tables and materialized views that were there and have another file now, as they were, the largest first."""
    found = [
        one
        for oid, one in before.items()
        if one.kind in ("r", "m") and oid in after and after[oid].file != one.file
    ]
    return sorted(found, key=lambda one: -one.bytes)


def written(rows: Rows) -> dict[int, tuple[int, int, int]]:
    """Rows inserted, updated and deleted since statistics began, by the table's oid."""
    return {oid: (inserted, updated, deleted) for oid, inserted, updated, deleted in rows(_WRITTEN)}


def contents(rows: Rows, *, besides: str) -> tuple[dict[str, Content], list[str]]:
    """Every table's rows, and the tables that this role may not read. `besides` is the version table."""
    found, unreadable = {}, []
    for table, readable, columns in rows(_TABLES):
        if table.rpartition(".")[2] == besides.rpartition(".")[2]:
            continue
        if not readable:
            unreadable.append(table)
            continue
        found[table] = content(rows, table, columns)
    return found, unreadable


def content(rows: Rows, table: str, columns: Iterable[str]) -> Content:
    """The rows of one table, of these columns."""
    columns = tuple(columns)
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    rows(_PLAIN)
    [(count, checksum)] = rows(
        f"SELECT count(*), coalesce(sum(hashtextextended(ROW({quoted})::text, 0)::numeric), 0)::text FROM {table}"  # noqa: S608
    )
    return Content(columns, count, checksum)


def differences(rows: Rows, before: Mapping[str, Content]) -> dict[str, str]:
    """By table, in words, what is not as it was `before`; nothing where all rows are the same."""
    there = {table: set(columns) for table, _, columns in rows(_TABLES)}
    found = {}
    for table, was in before.items():
        gone = [name for name in was.columns if name not in there.get(table, set())]
        if table not in there:
            found[table] = f"is gone, with its {was.rows:,} rows"
        elif gone:
            found[table] = f"has no column {', '.join(gone)} any more"
        else:
            now = content(rows, table, was.columns)
            if now.rows != was.rows:
                found[table] = f"has {now.rows:,} rows, and had {was.rows:,}"
            elif now.checksum != was.checksum:
                found[table] = f"has other values in its {was.rows:,} rows than before"
    return found


def fingerprint(url: DatabaseUrl, program: str, *, besides: str) -> list[str]:
    """The schema as pg_dump writes it, a statement's lines each, without comments and what is random.

    Raises:
        SchemaError: pg_dump is missing, or this role may not read all of it.
    """
    words = url.libpq()
    names = {
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "host": "PGHOST",
        "port": "PGPORT",
        "dbname": "PGDATABASE",
    }
    environment = {name: words[word] for word, name in names.items() if word in words}
    environment |= {f"PG{name.upper()}": words[name] for name in ("sslmode", "sslrootcert") if name in words}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [program, "--schema-only", "--no-password", f"--exclude-table={besides}"]
    try:
        done = subprocess.run(
            command,
            env=kept | environment | {"LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise SchemaError(
            f"{program} cannot be run: {error.strerror}. It is in postgresql-client-15 (migration_packages)."
        ) from error
    if done.returncode:
        raise SchemaError(f"pg_dump cannot read the schema: {' '.join(done.stderr.split())}")
    lines = (line.rstrip() for line in done.stdout.splitlines())
    return [line for line in lines if line and not line.startswith(("--", *_RANDOM))]


def schema_diff(before: list[str], after: list[str]) -> list[str]:
    """The lines that are gone (-) and new (+)."""
    lines = difflib.unified_diff(before, after, n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def shortened(lines: list[str], limit: int = 12) -> list[str]:
    """At most `limit` lines, and then how many more there are."""
    return lines[:limit] + ([f"… and {len(lines) - limit} lines more"] if len(lines) > limit else [])
