"""Health: what the proxy and the deployment rely on."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from harness.cluster import Database
from harness.pooler import Pooler
from harness.server import Server
from harness.wait import until

DATABASE_ROUTES = ["/health/ready", "/health/database"]


@pytest.fixture
def fragile(
    database: Database, fragile_pooler: Pooler, start_server: Callable[..., Server]
) -> tuple[Server, Pooler, Database]:
    """An API whose pooler and database are its own."""
    return (
        start_server(database.url("app", fragile_pooler.host, fragile_pooler.port)),
        fragile_pooler,
        database,
    )


def refuse_connections(database: Database) -> None:
    """Let the server refuse this database, to those who are connected too."""
    database.cluster.maintenance()
    Database(database.cluster, "postgres").run(
        f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'",
    )


def accept_connections(database: Database) -> None:
    """Undo `refuse_connections`."""
    Database(database.cluster, "postgres").run(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")


def test_the_front_door_leads_to_routes_that_answer(api: httpx.Client) -> None:
    ways = api.get("/").json()
    assert ways["service"] == "IntoWork API"
    for name in ("documentation", "jobs", "health"):
        assert api.get(ways[name]).status_code == 200, name


def test_health_tells_the_release(api: httpx.Client) -> None:
    assert api.get("/health").json() == {
        "status": "healthy",
        "release": "release-under-test",
        "environment": "development",
    }


@pytest.mark.parametrize("route", DATABASE_ROUTES)
def test_a_working_database_is_healthy(api: httpx.Client, route: str) -> None:
    assert api.get(route).status_code == 200


@pytest.mark.parametrize("outage", ["pooler is gone", "pooler is silent", "database refuses"])
def test_an_outage_is_told_in_time_and_ends_by_itself(
    fragile: tuple[Server, Pooler, Database], outage: str
) -> None:
    server, pooler, database = fragile
    start, end = {
        "pooler is gone": (pooler.stop, pooler.start),
        "pooler is silent": (pooler.freeze, pooler.thaw),
        "database refuses": (lambda: refuse_connections(database), lambda: accept_connections(database)),
    }[outage]
    assert server.get("/api/jobs").status_code == 200
    start()
    for route in DATABASE_ROUTES:
        # The client gives up long before a database that hangs would: an answer at all is the point.
        answer = httpx.get(server.url + route, timeout=10)
        assert answer.status_code == 503, outage
        assert int(answer.headers["Retry-After"]) > 0
        assert database.name not in answer.text
        assert database.cluster.role("app") not in answer.text
    assert server.get("/health").status_code == 200
    end()
    for route in [*DATABASE_ROUTES, "/api/jobs"]:
        until(lambda route=route: server.get(route).status_code == 200, f"{route} is back")  # type: ignore[misc]


@pytest.mark.parametrize("outage", ["pooler is gone", "database refuses"])
def test_requests_during_an_outage_get_503_with_retry_after(
    fragile: tuple[Server, Pooler, Database], outage: str
) -> None:
    server, pooler, database = fragile
    assert server.get("/api/jobs").status_code == 200
    pooler.stop() if outage == "pooler is gone" else refuse_connections(database)
    answer = server.get("/api/jobs")
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert "try again" in answer.json()["detail"]


def test_api_starts_without_a_database_and_becomes_ready_when_it_is_there(
    fragile_pooler: Pooler, database: Database, start_server: Callable[..., Server]
) -> None:
    fragile_pooler.stop()
    server = start_server(database.url("app", fragile_pooler.host, fragile_pooler.port))
    assert server.get("/health/ready").status_code == 503
    fragile_pooler.start()
    until(lambda: server.get("/health/ready").status_code == 200, "ready")


def test_a_stopping_api_is_not_ready_but_serves_until_its_time_is_over(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(database.url("app", pooler.host, pooler.port), DRAIN_SECONDS="300")
    assert server.get("/health/ready").status_code == 200
    server.tell_to_stop()
    until(lambda: server.get("/health/ready").status_code == 503, "not ready after SIGTERM")
    assert server.get("/health/ready").json()["reason"] == "draining"
    assert server.get("/api/jobs").status_code == 200
    # A second one means at once, without the rest of the 300 seconds.
    server.tell_to_stop()
    assert server.process is not None
    server.process.wait(timeout=60)
