"""Monitoring: for administrators, with the columns of PostgreSQL 15; test_slow_queries.py has the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from harness.administrator import Administrator
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows, bearer
from harness.server import Server
from harness.wait import until

ROUTES = ["slow-queries", "index-usage", "cache-hit-ratio", "table-sizes", "connections"]


@pytest.fixture
def admin(server: Server, api_database: Database) -> Administrator:
    """An administrator of the API that tests share."""
    return Administrator(server, api_database)


@pytest.fixture
def own_admin(database: Database, pooler: Pooler, start_server: Callable[..., Server]) -> Administrator:
    """An administrator of an API on `database`."""
    return Administrator(start_server(database.url("app", pooler.host, pooler.port)), database)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("role", "status"), [("candidate", 403), ("employer", 403), ("admin", 200)])
def test_only_administrators_may_look(
    api: httpx.Client, rows: Rows, route: str, role: str, status: int
) -> None:
    answer = api.get(f"/api/monitoring/{route}", headers=bearer(rows.user(role)))
    assert answer.status_code == status


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_may_look_without_a_token(api: httpx.Client, route: str) -> None:
    assert api.get(f"/api/monitoring/{route}").status_code == 401


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("limit", ["0", "101", "many", "-1"])
def test_limit_is_bounded(admin: Administrator, route: str, limit: str) -> None:
    answer = admin.get(route, limit=limit)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", "limit"])


def test_an_invalid_index_comes_first(own_admin: Administrator, database: Database) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        rows.company("Twin"), rows.company("Twin")
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.run("CREATE UNIQUE INDEX CONCURRENTLY idx_that_failed ON companies (name)")
    first = own_admin.read("index-usage")["indexes"][0]
    assert (first["index"], first["is_valid"], first["table"]) == ("idx_that_failed", False, "companies")
    assert "(name)" in first["definition"]


def test_use_of_an_index_is_counted(admin: Administrator, api: httpx.Client, rows: Rows) -> None:
    person = rows.candidate()

    def scans() -> int:
        indexes = admin.read("index-usage", limit=100)["indexes"]
        return int(next(index["scans"] for index in indexes if index["index"] == "users_pkey"))

    before = scans()
    assert api.get("/api/applications/my/applications", headers=person.headers).status_code == 200
    until(lambda: scans() > before, "the scan is counted")


def test_shares_and_ratios_of_what_nobody_read_are_unknown_not_an_error(
    own_admin: Administrator, database: Database
) -> None:
    database.run("CREATE TABLE never_read (id integer PRIMARY KEY)")
    # Building the index has read it.
    database.run("SELECT pg_stat_reset_single_table_counters('never_read'::regclass)")
    indexes = own_admin.read("index-usage", limit=100)["indexes"]
    tables = own_admin.read("table-sizes", limit=100)["tables"]
    cache = own_admin.read("cache-hit-ratio", limit=100)["tables"]
    index = next(index for index in indexes if index["table"] == "never_read")
    table = next(table for table in tables if table["table"] == "never_read")
    assert index["share_of_table_scans"] is None
    assert table["dead_ratio"] is None
    assert {"schema": "public", "table": "never_read", "hits": 0, "reads": 0, "ratio": None} in cache


def test_cache_hit_ratio_is_between_nothing_and_all(admin: Administrator) -> None:
    found = admin.read("cache-hit-ratio")
    assert found["ratio"] == pytest.approx(found["hits"] / (found["hits"] + found["reads"]))
    assert found["status"] == ("healthy" if found["ratio"] >= 0.95 else "needs tuning")


def test_table_sizes_are_of_the_table_and_its_indexes_largest_first(
    own_admin: Administrator, database: Database
) -> None:
    database.run(
        # Nobody may clean up between these rows and the look at them.
        "CREATE TABLE large (id integer PRIMARY KEY, filler text) WITH (autovacuum_enabled = off)",
        "INSERT INTO large SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) AS n",
        "DELETE FROM large WHERE id <= 500",
    )
    # On a connection of its own: the other one counts its rows when it ends.
    database.run("ANALYZE large")

    def large() -> dict[str, Any]:
        return dict(own_admin.read("table-sizes")["tables"][0])

    until(lambda: large()["last_analyze"] is not None, "the statistics have arrived")
    found = large()
    assert found["table"] == "large"
    assert found["total_bytes"] == found["table_bytes"] + found["index_bytes"]
    assert (found["live_rows"], found["dead_rows"], found["dead_ratio"]) == (1500, 500, 0.25)


def test_connections_are_told_by_user_and_state_with_those_that_wait(
    own_admin: Administrator, database: Database
) -> None:
    def wait() -> None:
        with database.connect("app") as connection:
            connection.execute("SELECT count(*) FROM companies")

    def waiting() -> list[dict[str, Any]]:
        groups = own_admin.read("connections")["groups"]
        return [group for group in groups if group["waiting_for_a_lock"]]

    other = threading.Thread(target=wait)
    with database.connect() as owner, owner.transaction():
        owner.execute("LOCK TABLE companies")
        other.start()
        (group,) = until(waiting, "one waits")
        found = own_admin.read("connections")
    other.join()
    assert (group["role_name"], group["state"]) == (database.cluster.role("app"), "active")
    assert group["longest_transaction_seconds"] > 0
    assert found["total"] == sum(group["connections"] for group in found["groups"])
    assert found["max_connections"] == int(database.rows("SHOW max_connections")[0][0])
    superuser = database.cluster.login("superuser")[0]
    assert (superuser, "idle in transaction") in {(g["role_name"], g["state"]) for g in found["groups"]}
