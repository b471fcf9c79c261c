"""One SQL statement that a module will run, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.sql import Composable

PUBLIC = "public"  # as a grantee; PostgreSQL refuses a role of this name


@dataclass(frozen=True)
class Statement:
    """A statement. `shown` stands for it in output, and marks it as one to keep out of the server's log."""

    sql: Composable
    shown: Composable | None = None

    def text(self, context: Any) -> str:
        """Return it for people, secrets as ***. `context` is a psycopg2 connection, which quotes."""
        return str((self.shown or self.sql).as_string(context))


@dataclass(frozen=True, order=True)
class Target:
    """What a privilege is on: an object's qualified name, and for a routine its argument types, as SQL."""

    name: tuple[str, ...]
    arguments: str | None = None

    def composed(self) -> sql.Composable:
        """Return it quoted."""
        name = sql.Identifier(*self.name)
        return name if self.arguments is None else name + sql.SQL("(" + self.arguments + ")")


def statement(template: str, *identifiers: str | tuple[str, ...]) -> Statement:
    """Return a statement from a template with `{}` for each identifier (a tuple is a qualified one)."""
    return Statement(
        sql.SQL(template).format(
            *(sql.Identifier(*([each] if isinstance(each, str) else each)) for each in identifiers)
        )
    )


def grantee(name: str) -> sql.Composable:
    """Return a role, or PUBLIC, as GRANT wants it."""
    return sql.SQL("PUBLIC") if name == PUBLIC else sql.Identifier(name)


def words(names: list[str]) -> sql.Composable:
    """Return keywords joined by commas; they come from lists of choices, never from free input."""
    return sql.SQL(", ".join(names))
