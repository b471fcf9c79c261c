"""Databases with the roles that production has, on the throwaway cluster that PG* variables point to."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

HOW_TO = (
    "pg_virtualenv -t -v 15 -o fsync=off -o shared_preload_libraries=pg_stat_statements"
    " .venv/bin/python -m pytest"
)


@dataclass(frozen=True)
class Database:
    """A database, and how each role reaches it directly."""

    cluster: Cluster
    name: str

    def url(self, role: str, host: str | None = None, port: int | None = None) -> str:
        """The URL for `role` (migrator, app); of the direct endpoint unless told otherwise."""
        user, password = self.cluster.login(role)
        return (
            f"postgresql+psycopg://{user}:{password}"
            f"@{host or self.cluster.host}:{port or self.cluster.port}/{self.name}"
        )

    def connect(self, role: str = "superuser", **options: Any) -> psycopg.Connection[Any]:
        """A connection in autocommit as superuser, migrator or app."""
        user, password = self.cluster.login(role)
        return psycopg.connect(
            host=self.cluster.host,
            port=self.cluster.port,
            dbname=self.name,
            user=user,
            password=password,
            autocommit=True,
            **options,
        )

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a statement of the superuser returns."""
        with self.connect() as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def run(self, *statements: str) -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]


class Cluster:
    """The cluster, with roles of this test run's own: owner, migrator and app as production has them."""

    def __init__(self) -> None:
        missing = [name for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD") if name not in os.environ]
        if missing:
            raise RuntimeError(
                f"these tests need a throwaway PostgreSQL 15; not set: {', '.join(missing)}; run {HOW_TO}"
            )
        self.host, self.port = os.environ["PGHOST"], int(os.environ["PGPORT"])
        self._run = f"t{secrets.token_hex(4)}"
        self._passwords = {role: secrets.token_hex(16) for role in ("migrator", "app")}
        self._databases = 0

    def role(self, role: str) -> str:
        """The name that `role` has in this run."""
        return f"{self._run}_{role}"

    def login(self, role: str) -> tuple[str, str]:
        """User and password of a role that may log in."""
        if role == "superuser":
            return os.environ["PGUSER"], os.environ["PGPASSWORD"]
        return self.role(role), self._passwords[role]

    def maintenance(self, *statements: sql.Composable) -> None:
        """Run statements as the superuser in the database postgres."""
        with Database(self, "postgres").connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def create_roles(self) -> None:
        """An owner without login, a migrator that works as the owner, an app with 30 s for a statement."""
        names = {role: sql.Identifier(self.role(role)) for role in ("owner", "migrator", "app")}
        passwords = {f"{role}_password": sql.Literal(word) for role, word in self._passwords.items()}
        self.maintenance(
            *(
                sql.SQL(statement).format(**names, **passwords)
                for statement in (
                    "CREATE ROLE {owner} NOLOGIN IN ROLE pg_monitor",
                    "CREATE ROLE {migrator} LOGIN PASSWORD {migrator_password} IN ROLE {owner}",
                    "ALTER ROLE {migrator} SET role = {owner}",
                    "CREATE ROLE {app} LOGIN PASSWORD {app_password}",
                    "ALTER ROLE {app} SET statement_timeout = '30s'",
                )
            )
        )

    def drop_roles(self) -> None:
        """Remove the roles; their databases are gone by then."""
        self.maintenance(
            *(
                sql.SQL("DROP ROLE {}").format(sql.Identifier(self.role(r)))
                for r in ("app", "migrator", "owner")
            )
        )

    def create(self, template: Database | None = None) -> Database:
        """A database of the owner's, empty or as `template` is. The app may read and write rows, no more."""
        self._databases += 1
        database = Database(self, f"{self._run}_{self._databases}")
        self.maintenance(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                sql.Identifier(database.name),
                sql.Identifier(self.role("owner")),
                sql.Identifier(template.name if template else "template0"),
            ),
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database.name)),
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
                sql.Identifier(database.name),
                sql.Identifier(self.role("migrator")),
                sql.Identifier(self.role("app")),
            ),
        )
        if template is None:
            owner, app = self.role("owner"), self.role("app")
            defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
            database.run(
                f"ALTER SCHEMA public OWNER TO {owner}",
                f"GRANT USAGE ON SCHEMA public TO {app}",
                f"{defaults} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
                f"{defaults} GRANT USAGE ON SEQUENCES TO {app}",
                f"{defaults} GRANT EXECUTE ON FUNCTIONS TO {app}",
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
                "CREATE EXTENSION pg_stat_statements",
            )
        return database

    def drop(self, database: Database) -> None:
        """Drop a database, and the connections to it that a pooler still holds."""
        self.maintenance(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database.name)))
