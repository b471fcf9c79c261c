"""Which drivers break behind a pool by transaction, as far as names tell, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.pooled_driver import (
    SIGNS,
    breaking_driver,
    packages_of,
    shares_sessions,
    what_to_set,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("scheme", "packages", "driver"),
    [
        ("postgresql+asyncpg", {"asyncpg"}, "asyncpg"),
        # The lock file may hide it behind another package.
        ("postgresql+asyncpg", set(), "asyncpg"),
        ("postgresql", {"asyncpg", "psycopg2"}, "asyncpg"),
        ("postgres", {"asyncpg"}, "asyncpg"),
        ("postgresql", {"psycopg2"}, None),
        ("postgresql+psycopg", {"asyncpg", "psycopg"}, None),
        ("postgresql+psycopg2", {"psycopg2"}, None),
    ],
)
def test_driver_is_read_from_the_url_or_else_from_the_lock_file(
    scheme: str, packages: set[str], driver: str | None
) -> None:
    assert breaking_driver(scheme, packages) == driver


@pytest.mark.parametrize(("mode", "shared"), [("session", False), ("transaction", True), ("statement", True)])
def test_only_a_pool_by_session_leaves_a_client_its_session(mode: str, *, shared: bool) -> None:
    assert shares_sessions(mode) is shared


def test_packages_have_the_names_that_the_index_gives_them() -> None:
    lock = "SQLAlchemy[asyncio]==2.0 --hash=sha256:0\nasyncpg == 0.30\npsycopg_binary==3\n# six==1\n"
    assert packages_of(lock) == {"sqlalchemy", "asyncpg", "psycopg-binary"}


@pytest.mark.parametrize(
    "said",
    [
        'asyncpg.exceptions.DuplicatePreparedStatementError: prepared statement "__asyncpg_stmt_1__" already exists',
        'psycopg.errors.InvalidSqlStatementName: prepared statement "_pg3_0" does not exist',
        'bind message supplies 1 parameters, but prepared statement "_pg3_1" requires 0',
    ],
)
def test_what_postgresql_says_of_it_is_recognized(said: str) -> None:
    assert SIGNS.search(said)


@pytest.mark.parametrize(
    "said", ['relation "prepared" does not exist', "connection refused", 'column "a" already exists']
)
def test_other_errors_are_not_taken_for_it(said: str) -> None:
    assert SIGNS.search(said) is None


def test_what_to_set_names_the_driver_that_is_there_and_the_way_round() -> None:
    assert "statement_cache_size=0" in what_to_set({"asyncpg"})
    assert "prepare_threshold" not in what_to_set({"asyncpg"})
    assert "bundle_pool_mode: session" in what_to_set({"asyncpg"})
    assert "prepare_threshold=None" in what_to_set()
