"""A database of a throwaway PostgreSQL, with the roles of production."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

PASSWORD = "s3cr3t/with:odd@signs#and%percent"


@dataclass
class Server:
    """A throwaway database; `roles` has owner (no login), migrator and app, as in production."""

    database: str
    roles: dict[str, str]

    def connect(self, role: str | None = None) -> psycopg.Connection[Any]:
        """An autocommit session of a role, or of the superuser."""
        login = {"user": self.roles[role], "password": PASSWORD} if role else {}
        return psycopg.connect(make_conninfo(dbname=self.database, **login), autocommit=True)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Of a query by the superuser."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def url(self, driver: str = "psycopg") -> str:
        """As the product gets it: the migrator's, percent-encoded."""
        host, port = os.environ["PGHOST"], os.environ.get("PGPORT", "5432")
        login = f"{self.roles['migrator']}:{quote(PASSWORD, safe='')}"
        return f"postgresql+{driver}://{login}@{host}:{port}/{self.database}"

    @property
    def tables(self) -> set[str]:
        """In schema public, without Alembic's own."""
        rows = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows} - {"alembic_version"}

    @property
    def revision(self) -> list[str]:
        """What the version table holds."""
        return [row[0] for row in self.rows("SELECT version_num FROM alembic_version ORDER BY 1")]
