"""A database with the roles of production for each test, and a product that migrates it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from throwaway import PASSWORD, Server

from product import Product


@pytest.fixture(scope="session")
def _needs_postgresql() -> None:
    if not os.environ.get("PGHOST"):
        pytest.fail(
            "these tests need a throwaway PostgreSQL 15: pg_virtualenv -v 15 -o fsync=off pytest "
            "tests/postgresql"
        )


@pytest.fixture
def make_server(_needs_postgresql: None) -> Iterator[Callable[[], Server]]:
    """Makes as many as a test wants."""
    made: list[Server] = []

    def make() -> Server:
        tag = uuid.uuid4().hex[:8]
        roles = {name: f"{name}_{tag}" for name in ("owner", "migrator", "app")}
        server = Server(f"product_{tag}", roles)
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            made.append(server)
            connection.execute(f"CREATE ROLE {roles['owner']} NOLOGIN")
            for name in ("migrator", "app"):
                connection.execute(f"CREATE ROLE {roles[name]} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"GRANT {roles['owner']} TO {roles['migrator']}")
            connection.execute(f"ALTER ROLE {roles['migrator']} SET role = '{roles['owner']}'")
            connection.execute(f"CREATE DATABASE {server.database} OWNER {roles['owner']}")
        with server.connect() as connection:
            connection.execute(f"ALTER SCHEMA public OWNER TO {roles['owner']}")
            connection.execute(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {roles['owner']}"
                f" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {roles['app']}"
            )
        return server

    yield make
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        for server in made:
            connection.execute(f"DROP DATABASE IF EXISTS {server.database} WITH (FORCE)")
            for role in server.roles.values():
                connection.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def server(make_server: Callable[[], Server]) -> Server:
    """One database."""
    return make_server()


@pytest.fixture
def product(server: Server, tmp_path: Path) -> Product:
    """A product without a revision yet."""
    return Product(tmp_path / "product", server.url(), server.roles)
