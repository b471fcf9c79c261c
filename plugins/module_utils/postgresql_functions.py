"""Functions of which a caller may know only their name: their definition, owner, and who may execute them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.postgresql_acl import exactly, plan_acl
from ansible.module_utils.postgresql_catalog import Row
from ansible.module_utils.postgresql_roles import setting_value, stored_settings
from ansible.module_utils.postgresql_statement import Statement, Target, statement
from ansible.module_utils.postgresql_wanted import split_identifiers
from psycopg2 import sql

PARAMETER = re.compile(r"(?P<name>[a-z_][a-z0-9_]*) (?P<type>.+)")
SEVERAL_WORDS = re.compile(  # types that look like a name and a type
    r"(double precision|(character|bit) varying|time(stamp)?\b.* with(out)? time zone)(\s*\(.*\))?(\[\])*",
    re.IGNORECASE,
)
TABLE = re.compile(r"TABLE\s*\((?P<columns>.*)\)", re.IGNORECASE | re.DOTALL)
SETOF = re.compile(r"SETOF\s+(?P<type>.*)", re.IGNORECASE | re.DOTALL)


class Signatures:
    """Brings arguments and results into the spelling of the catalogs (int → integer)."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._types: dict[str, str] = {}

    def _type(self, text: str) -> str:
        if text not in self._types:
            self._cursor.execute("SELECT pg_catalog.to_regtype(%s)::pg_catalog.text", [text])
            [found] = self._cursor.fetchone()
            # A type that an extension of the same run will bring is not known yet: its text stands as it is.
            self._types[text] = text if found is None else found
        return self._types[text]

    def parameters(self, text: str) -> list[tuple[str, str]]:
        """Return (name or "", type) of each parameter in `a text, b int`; ValueError for another form."""
        found = []
        for part in re.split(r",(?![^(]*\))", text) if text.strip() else []:
            part = " ".join(part.split())
            match = None if SEVERAL_WORDS.fullmatch(part) else PARAMETER.fullmatch(part)
            if re.search(r"=|\bdefault\b|^(in|out|inout|variadic)\b", part, re.IGNORECASE):
                raise ValueError(f"{part!r} has a mode or a default; write a lower-case name and a type")
            found.append((match["name"], self._type(match["type"])) if match else ("", self._type(part)))
        return found

    def result(self, text: str) -> str:
        """Return what follows RETURNS."""
        text = " ".join(text.split())
        if table := TABLE.fullmatch(text):
            return f"TABLE({', '.join(f'{name} {kind}' for name, kind in self.parameters(table['columns']))})"
        if many := SETOF.fullmatch(text):
            return f"SETOF {self._type(many['type'])}"
        return self._type(text)


def plan_function(
    wanted: Row, routines: list[Row], signatures: Signatures, login_user: str
) -> Iterator[Statement]:
    """Yield what makes one function as wanted, whatever held its name and argument types before."""
    parameters = signatures.parameters(wanted["arguments"])
    types = ", ".join(kind for _name, kind in parameters)
    name = (wanted["schema"], wanted["name"])
    target = Target(name, types)
    owner = wanted["owner"] or login_user
    expected = {
        "arguments": ", ".join(f"{label} {kind}".strip() for label, kind in parameters),
        "returns": signatures.result(wanted["returns"]),
        "language": wanted["language"],
        "body": wanted["body"],
        "security_definer": wanted["security_definer"],
        "settings": {"search_path": split_identifiers(wanted["search_path"])}
        if wanted["search_path"]
        else {},
    }
    held = next(
        (each for each in routines if (each["schema"], each["name"], each["types"]) == (*name, types)), None
    )
    found = (
        {key: held[key] for key in expected} | {"settings": stored_settings(held["settings"])} if held else {}
    )
    if held and any(found[key] != expected[key] for key in ("arguments", "returns")):
        yield Statement(sql.SQL("DROP FUNCTION {}").format(target.composed()))  # no REPLACE changes these
        held = None
    if held is None or found != expected:
        yield _definition(name, parameters, expected)
    if (held["owner"] if held else login_user) != owner:
        yield Statement(
            sql.SQL("ALTER FUNCTION {} OWNER TO {}").format(target.composed(), sql.Identifier(owner))
        )
    acl = (
        {role: of for role, of in held["acl"].items() if role != held["owner"]}
        if held
        else {"public": {"EXECUTE"}}
    )
    allowed = {role: {"EXECUTE"} for role in wanted["execute"]}
    yield from plan_acl("FUNCTION", [(target, acl, exactly(acl, allowed, owner))])


def _definition(name: tuple[str, str], parameters: list[tuple[str, str]], expected: Row) -> Statement:
    arguments = sql.SQL(", ").join(
        (sql.Identifier(label) + sql.SQL(" " + kind)) if label else sql.SQL(kind)
        for label, kind in parameters
    )
    create = statement("CREATE OR REPLACE FUNCTION {}", name).sql + sql.SQL("(") + arguments + sql.SQL(")")
    parts = [create, sql.SQL(f"RETURNS {expected['returns']} LANGUAGE {expected['language']}")]
    if expected["security_definer"]:
        parts.append(sql.SQL("SECURITY DEFINER"))
    if expected["settings"]:
        parts += [sql.SQL("SET search_path TO"), setting_value(expected["settings"]["search_path"])]
    return Statement(sql.SQL(" ").join([*parts, sql.SQL("AS"), sql.Literal(expected["body"])]))
