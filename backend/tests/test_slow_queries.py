"""Slow queries: everybody's, for administrators, and without anybody's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from app.database_statistics import without_literals
from harness.administrator import Administrator
from harness.cluster import Database
from harness.migrations import upgrade
from harness.pooler import Pooler
from harness.postgres import Postgres
from harness.server import Server

MARKER = "m4rker-literal"


@pytest.fixture
def admin(server: Server, api_database: Database) -> Administrator:
    """An administrator of the API that tests share."""
    return Administrator(server, api_database)


def test_slow_queries_are_those_beyond_the_threshold_slowest_first(
    admin: Administrator, api_database: Database
) -> None:
    api_database.run("SELECT pg_sleep(0.15)")
    found = admin.read("slow-queries", threshold_ms=140, limit=100)
    means = [query["mean_ms"] for query in found["queries"]]
    assert any("pg_sleep" in query["query"] for query in found["queries"])
    assert means == sorted(means, reverse=True)
    assert means[-1] >= found["threshold_ms"] == 140


def test_slow_queries_are_as_many_as_asked_for(admin: Administrator) -> None:
    assert len(admin.read("slow-queries", threshold_ms=0, limit=3)["queries"]) == 3


def test_statements_of_others_are_shown_through_the_route_and_not_to_the_role_itself(
    admin: Administrator, api_database: Database
) -> None:
    api_database.run("SELECT pg_sleep(0.2), 'the superuser was here' AS superusers_own")
    with api_database.connect("app") as connection:
        directly = connection.execute(
            "SELECT DISTINCT query FROM pg_stat_statements WHERE userid <> current_user::regrole"
        ).fetchall()
    assert directly == [("<insufficient privilege>",)]
    shown = [query["query"] for query in admin.read("slow-queries", threshold_ms=150, limit=100)["queries"]]
    assert any("superusers_own" in query for query in shown)
    assert "<insufficient privilege>" not in shown


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT '{MARKER}' AS in_a_query, pg_sleep(0.12)",
        # No plan, so pg_stat_statements keeps it as it came.
        f"DO $body$ BEGIN PERFORM pg_sleep(0.12), '{MARKER}'; END $body$",
        f"COMMENT ON COLUMN users.name IS '{MARKER}'",
        f"SET application_name TO '{MARKER}'",
    ],
)
def test_values_in_statements_of_others_are_not_shown(
    admin: Administrator, api_database: Database, statement: str
) -> None:
    api_database.run("SELECT pg_stat_statements_reset()", statement)
    raw = api_database.rows("SELECT query FROM pg_stat_statements")
    shown = admin.read("slow-queries", threshold_ms=0, limit=100)["queries"]
    beginning = statement.split("'")[0].split("$")[0]
    assert any(query.startswith(beginning) for (query,) in raw)
    assert any(query["query"].startswith(beginning) for query in shown)
    assert MARKER not in str(shown)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT $1", "SELECT $1"),
        ("SELECT $1, $2 FROM jobs", "SELECT $1, $2 FROM jobs"),
        ("ALTER ROLE a PASSWORD 'secret'", "ALTER ROLE a PASSWORD '…'"),
        ("SELECT 'it''s', 'b'", "SELECT '…', '…'"),
        (r"SELECT E'it\'s', 1", "SELECT E'…', 1"),
        ("DO $$ secret $$", "DO '…'"),
        ("DO $a$ secret $$ more $a$ LANGUAGE sql", "DO '…' LANGUAGE sql"),
        ("SELECT 1 -- secret\nFROM jobs", "SELECT 1 '…'\nFROM jobs"),
        ("SELECT /* secret */ 1", "SELECT '…' 1"),
        ("SELECT 'not finished", "SELECT '…'"),
        ("SELECT 1 /* not finished", "SELECT 1 '…'"),
        ("x" * 3_000, "x" * 2_000),
    ],
)
def test_a_statement_is_shown_without_its_literals(query: str, shown: str) -> None:
    assert without_literals(query) == shown


def test_without_the_extension_slow_queries_say_what_is_missing(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(database.url("app", pooler.host, pooler.port))
    database.run("DROP EXTENSION pg_stat_statements")
    answer = Administrator(server, database).get("slow-queries")
    assert (answer.status_code, "Retry-After" in answer.headers) == (501, False)
    assert "CREATE EXTENSION pg_stat_statements" in answer.json()["detail"]


@pytest.fixture
def admin_without_library(start_server: Callable[..., Server]) -> Iterator[Administrator]:
    """An administrator of an API on a server that did not load pg_stat_statements when it started."""
    with closing(Postgres()) as postgres:
        postgres.start()
        database = postgres.cluster().create()
        upgrade(database)
        yield Administrator(start_server(database.url("app")), database)


def test_without_the_library_slow_queries_say_what_is_missing(admin_without_library: Administrator) -> None:
    answer = admin_without_library.get("slow-queries")
    assert answer.status_code == 501
    assert "shared_preload_libraries" in answer.json()["detail"]
