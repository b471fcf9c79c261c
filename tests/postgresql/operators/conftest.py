"""A database for each test, sessions in it, and the operators' commands as an operator starts them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from operator_commands import Database, another_server


@pytest.fixture(scope="session")
def _needs_postgresql() -> None:
    if not os.environ.get("PGHOST"):
        pytest.fail(
            "these tests need a throwaway PostgreSQL 15: pg_virtualenv -t -v 15 -o fsync=off pytest …"
        )


@pytest.fixture
def make_database(_needs_postgresql: None) -> Iterator[Callable[[], Database]]:
    """Makes as many as a test wants."""
    made: list[Database] = []

    def make() -> Database:
        database = Database(f"operators_{uuid.uuid4().hex[:8]}")
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database.name}")
        made.append(database)
        return database

    yield make
    for database in made:
        database.close()
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        for database in made:
            connection.execute(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def second_server() -> Iterator[Database]:
    """A server for what needs a start of its own: it archives (to nowhere), has checksums and few connections.

    pg_stat_statements is not preloaded. Its database is postgres.
    """
    settings = (
        *(
            "archive_mode=on",
            "archive_command=true",
            "archive_timeout=60",
            "max_wal_size=64MB",
            "min_wal_size=32MB",
        ),
        *("max_connections=12", "superuser_reserved_connections=2", "max_prepared_transactions=2"),
    )
    with another_server(*settings) as server:
        yield server
        server.close()


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """One database."""
    return make_database()


@pytest.fixture
def reader(database: Database) -> Iterator[dict[str, str]]:
    """The environment of a role that may do nothing but connect."""
    role = f"{database.name}_reader"
    database.run(f"CREATE ROLE {role} LOGIN PASSWORD 'only-reads'")
    yield {"PGUSER": role, "PGPASSWORD": "only-reads"}
    database.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
