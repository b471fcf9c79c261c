"""What a downgrade throws away: read from its SQL, and kept in files before it runs."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_QUALIFIED = rf"{_NAME}(?:\.{_NAME})?"
_MAYBE = r"(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?"
_DROP_TABLE = re.compile(
    rf"\bDROP\s+(?:FOREIGN\s+)?TABLE\s+{_MAYBE}({_QUALIFIED}(?:\s*,\s*{_QUALIFIED})*)", re.I
)
_DROP_SCHEMA = re.compile(rf"\bDROP\s+SCHEMA\s+(?:IF\s+EXISTS\s+)?({_NAME}(?:\s*,\s*{_NAME})*)", re.I)
_ALTER_TABLE = re.compile(rf"\bALTER\s+TABLE\s+{_MAYBE}({_QUALIFIED})\s+(.*?)(?:;|\Z)", re.I | re.S)
_DROP_COLUMN = re.compile(
    rf"\bDROP\s+(?:COLUMN\s+)?(?!CONSTRAINT\b|NOT\b|DEFAULT\b|EXPRESSION\b|IDENTITY\b)(?:IF\s+EXISTS\s+)?({_NAME})",
    re.I,
)
# A narrower type, or another meaning of the same one, is decided by USING, which nobody can read from here.
_RETYPE = re.compile(rf"\bALTER\s+(?:COLUMN\s+)?({_NAME})\s+(?:SET\s+DATA\s+)?TYPE\b", re.I)
# These change or remove rows as such: of such a table all of it is kept.
_REWRITES = re.compile(
    rf"\b(?:DELETE\s+FROM|UPDATE|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?({_QUALIFIED}(?:\s*,\s*{_QUALIFIED})*)",
    re.I,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
# What looks like UPDATE of a table and is none.
_NO_TABLE = {"set", "of", "on", "no", "cascade", "restrict"}

# A table's primary key, in its order; and all its columns that hold data of their own.
_KEY = """
SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = to_regclass(%s) AND i.indisprimary ORDER BY k.place
"""
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_TABLES_OF_SCHEMAS = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY(%s) ORDER BY 1
"""
_OWN_SCHEMAS = """
SELECT nspname FROM pg_namespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)'
  AND has_schema_privilege(oid, 'USAGE')
"""


class Session(Protocol):
    """What is asked of the database: see alembic_database.Database."""

    def rows(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def copy_out(self, query: str, file: Any) -> None:
        """The rows of a query as CSV with a header."""


@dataclass
class Losses:
    """Names as the SQL has them. A table in `tables` loses rows or itself, one in `columns` only these columns."""

    tables: set[str] = field(default_factory=set)
    columns: dict[str, set[str]] = field(default_factory=dict)
    schemas: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.tables or self.columns or self.schemas)


@dataclass(frozen=True)
class Kept:
    """A file with rows. `columns` are those that would be lost; none where the whole table would be."""

    table: str
    columns: tuple[str, ...]
    rows: int
    file: str
    sha256: str


def read_losses(sql: str) -> Losses:
    """What the statements of a downgrade drop or overwrite, those inside of DO blocks included."""
    text = _COMMENT.sub(" ", sql)
    found = Losses()
    for match in _DROP_TABLE.finditer(text):
        found.tables.update(_names(match[1]))
    for match in _REWRITES.finditer(text):
        found.tables.update(name for name in _names(match[1]) if name.lower() not in _NO_TABLE)
    for match in _DROP_SCHEMA.finditer(text):
        found.schemas.update(name.strip('"') for name in _names(match[1]))
    for match in _ALTER_TABLE.finditer(text):
        lost = {_plain(name) for part in (_DROP_COLUMN, _RETYPE) for name in part.findall(match[2])}
        if lost:
            found.columns.setdefault(match[1], set()).update(lost)
    return found


def everything(session: Session) -> Losses:
    """Every table: what has to be kept where nobody can read what the downgrade does."""
    return Losses(schemas={row[0] for row in session.rows(_OWN_SCHEMAS)})


def keep(session: Session, losses: Losses, directory: Path, *, besides: str) -> list[Kept]:
    """Write the rows that would be lost into `directory`, a file for each table, and a list of them (kept.json).

    `besides` is the version table, which the downgrade itself writes. A table without such rows has no file. Tables
    that are not there are passed over: the downgrade would not find them either.
    """
    lost_columns: dict[str, tuple[str, ...]] = {}
    for name, lost in losses.columns.items():
        if table := _resolved(session, name):
            there = (row[0] for row in session.rows(_COLUMNS, [table]))
            lost_columns[table] = tuple(column for column in there if column in lost)
    names = [*losses.tables, *(row[0] for row in session.rows(_TABLES_OF_SCHEMAS, [sorted(losses.schemas)]))]
    whole = {table for name in names if (table := _resolved(session, name))}
    own = _resolved(session, besides)
    kept = []
    for table in sorted(whole | lost_columns.keys()):
        columns = () if table in whole else lost_columns[table]
        if table == own or not (columns or table in whole):
            continue
        query = _query(session, table, columns)
        if rows := int(session.rows(f"SELECT count(*) FROM ({query}) lost")[0][0]):  # noqa: S608 -- quoted
            kept.append(_write(session, table, columns, rows, query, directory))
    if kept:
        listed = json.dumps([asdict(one) for one in kept], indent=2)
        (directory / "kept.json").write_text(listed + "\n")
    return kept


def _write(
    session: Session, table: str, columns: tuple[str, ...], rows: int, query: str, directory: Path
) -> Kept:
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    path = directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', table)}.csv.gz"
    with path.open("wb") as written, gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as file:
        session.copy_out(query, file)
    path.chmod(0o600)
    with path.open("rb") as read:
        digest = hashlib.file_digest(read, "sha256").hexdigest()
    return Kept(table, columns, rows, path.name, digest)


def _query(session: Session, table: str, columns: tuple[str, ...]) -> str:
    """The rows to keep: all columns of a lost table; the key and the lost columns where they hold something."""
    names = [row[0] for row in session.rows(_COLUMNS, [table])]
    if not columns:
        return f"SELECT {', '.join(map(_quoted, names))} FROM {table}"  # noqa: S608 -- quoted
    key = [row[0] for row in session.rows(_KEY, [table])] or [name for name in names if name not in columns]
    shown = ", ".join(map(_quoted, dict.fromkeys([*key, *columns])))
    held = " OR ".join(f"{_quoted(name)} IS NOT NULL" for name in columns)
    return f"SELECT {shown} FROM {table} WHERE {held}"  # noqa: S608 -- quoted


def _resolved(session: Session, name: str) -> str | None:
    """The table's full name, or None where there is no such table."""
    rows = session.rows(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p')",
        [name],
    )
    return str(rows[0][0]) if rows else None


def _names(listed: str) -> list[str]:
    return re.findall(_QUALIFIED, listed)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
