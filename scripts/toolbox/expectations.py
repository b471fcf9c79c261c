"""The indexes and constraints that a product expects, as statements in a file that lives with the product."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from toolbox.database import DatabaseError, Session

HEADER = """\
-- The indexes and constraints that the database has at this release's revision, one statement a line, in the
-- database's own words. Made by: scripts/check_indexes.py --print-expected
-- A line with a name only asks for an index or constraint of that name, whatever its definition.
-- "-- accept CHECK NAME: why" pardons a finding of that command.
"""
NAME = r'(?:"(?:[^"]|"")+"|[^\s".]+)'
INDEX = re.compile(
    rf"CREATE (?P<unique>UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(?P<name>{NAME})"
    rf" ON (?:ONLY )?(?P<table>{NAME}(?:\.{NAME})?) (?P<rest>.+)",
    re.IGNORECASE,
)
CONSTRAINT = re.compile(
    rf"ALTER TABLE (?:ONLY )?(?P<table>{NAME}(?:\.{NAME})?) ADD CONSTRAINT (?P<name>{NAME}) (?P<rest>.+)",
    re.IGNORECASE,
)
ACCEPT = re.compile(r"--\s*accept\s+(?P<check>[\w-]+)\s+(?P<name>[^\s:]+)\s*(?::.*)?")

# Names are quoted here as in statements. Partitions and what a table inherits come with their parent.
PRESENT = """
SELECT quote_ident(c.relname) AS name, format('%%I.%%I', tn.nspname, t.relname) AS "table",
       pg_get_indexdef(i.indexrelid) || ';' AS statement, i.indisvalid AS valid
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE tn.nspname <> ALL (%(system)s) AND t.relpersistence <> 't' AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid AND o.contype IN ('p', 'u', 'x'))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT quote_ident(o.conname), format('%%I.%%I', tn.nspname, t.relname),
       format('ALTER TABLE %%I.%%I ADD CONSTRAINT %%I %%s;', tn.nspname, t.relname, o.conname,
              pg_get_constraintdef(o.oid)), coalesce(i.indisvalid, true)
FROM pg_constraint o
JOIN pg_class t ON t.oid = o.conrelid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = o.conindid AND o.contype IN ('p', 'u', 'x')
WHERE tn.nspname <> ALL (%(system)s) AND o.contype IN ('p', 'u', 'x', 'c', 'f') AND o.conparentid = 0
  AND o.conislocal AND t.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
ORDER BY 2, 3
"""
OUTSIDE = ["pg_catalog", "information_schema", "pg_toast"]


@dataclass(frozen=True)
class Wanted:
    """One index or constraint; a table and a definition are empty where only the name is asked for."""

    name: str
    table: str = ""
    definition: str = ""
    statement: str = ""
    valid: bool = True


@dataclass(frozen=True)
class Expectation:
    """What the file asks for, and which findings it pardons: pairs of check and name."""

    wanted: list[Wanted]
    accepted: set[tuple[str, str]]


def read_expectation(path: Path) -> Expectation:
    """Parse the file. DatabaseError names every line that cannot be read."""
    try:
        lines = (sys.stdin.read() if str(path) == "-" else path.read_text()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseError(f"cannot read {path}: {error}") from error
    wanted, accepted, wrong = [], set(), []
    for number, line in enumerate(lines, 1):
        text = " ".join(line.split())
        if found := ACCEPT.fullmatch(text):
            accepted.add((found["check"], unquoted(found["name"])))
        elif text and not text.startswith("--"):
            one = parse_statement(text)
            if one:
                wanted.append(one)
            else:
                wrong.append(f"  line {number}: {text[:80]}")
    if wrong:
        raise DatabaseError(
            f"{path} has lines that are no CREATE INDEX, no ALTER TABLE … ADD CONSTRAINT and no name,"
            " each on one line:\n" + "\n".join(wrong)
        )
    if not wanted:
        raise DatabaseError(f"{path} expects nothing; --print-expected shows what such a file looks like")
    return Expectation(wanted, accepted)


def parse_statement(text: str) -> Wanted | None:
    """One line of the file; None if it is neither a statement of the two kinds nor a name."""
    text = text.rstrip("; ")
    if found := INDEX.fullmatch(text):
        table = _with_schema(found["table"])
        unique = "UNIQUE " if found["unique"] else ""
        definition = f"CREATE {unique}INDEX {found['name']} ON {table} {found['rest']}"
        return Wanted(found["name"], table, definition, f"{definition};")
    if found := CONSTRAINT.fullmatch(text):
        table = _with_schema(found["table"])
        # Whether it was validated is a check of its own.
        definition = found["rest"].removesuffix(" NOT VALID")
        statement = f"ALTER TABLE {table} ADD CONSTRAINT {found['name']} {definition};"
        return Wanted(found["name"], table, definition, statement)
    return Wanted(text) if re.fullmatch(NAME, text) else None


def read_present(session: Session) -> list[Wanted]:
    """What the database has, in the same form."""
    found = []
    for row in session.rows(PRESENT, {"system": OUTSIDE}):
        one = parse_statement(" ".join(row["statement"].split()))
        assert one is not None, row["statement"]
        found.append(Wanted(row["name"], row["table"], one.definition, row["statement"], row["valid"]))
    return found


def find(wanted: Wanted, present: list[Wanted]) -> Wanted | None:
    """The index or constraint of that name, on that table if one is named."""
    for one in present:
        if one.name == wanted.name and wanted.table in ("", one.table):
            return one
    return None


def differs(wanted: Wanted, there: Wanted) -> bool:
    """Whether the definition is another one. Text is compared: the file has to have the database's own words."""
    return bool(wanted.definition) and wanted.definition != there.definition


def unquoted(name: str) -> str:
    """A name as the catalogs have it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _with_schema(table: str) -> str:
    return table if re.fullmatch(rf"{NAME}\.{NAME}", table) else f"public.{table}"
