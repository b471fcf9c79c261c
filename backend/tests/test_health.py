"""Health: what the proxy and the deployment rely on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import make_url

from app.database import connection_parameters
from app.health import PROBE_SECONDS, DatabaseProbe
from harness.cluster import Database
from harness.metrics import value
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import SLACK, Server
from harness.wait import until

# Seconds that the service lets a database be silent.
SILENCE = 2
DATABASE_ROUTES = ["/health/ready", "/health/database"]


@pytest.fixture
def fragile(
    database: Database, fragile_pooler: Pooler, start_server: Callable[..., Server]
) -> tuple[Server, Pooler, Database]:
    """An API whose pooler and database are its own."""
    return (
        start_server(
            database.url("app", fragile_pooler.host, fragile_pooler.port),
            # Only the first of these may be what ends a request.
            DATABASE_WAIT_SECONDS=str(SILENCE),
            DATABASE_POOL_TIMEOUT="60",
            DATABASE_CONNECT_TIMEOUT="30",
        ),
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
        answer = server.get(route, timeout=PROBE_SECONDS + SLACK)
        assert answer.status_code == 503, outage
        assert int(answer.headers["Retry-After"]) > 0
        assert database.name not in answer.text
        assert database.cluster.role("app") not in answer.text
    assert server.get("/health").status_code == 200
    end()
    for route in [*DATABASE_ROUTES, "/api/jobs"]:
        until(lambda route=route: server.get(route).status_code == 200, f"{route} is back")  # type: ignore[misc]


@pytest.mark.parametrize("outage", ["pooler is gone", "pooler is silent", "database refuses"])
def test_requests_during_an_outage_get_503_with_retry_after_in_time(
    fragile: tuple[Server, Pooler, Database], outage: str
) -> None:
    server, pooler, database = fragile
    until(lambda: server.get("/api/jobs").status_code == 200, "it serves")
    start, end = {
        "pooler is gone": (pooler.stop, pooler.start),
        "pooler is silent": (pooler.freeze, pooler.thaw),
        "database refuses": (lambda: refuse_connections(database), lambda: accept_connections(database)),
    }[outage]
    start()
    # More than one: the first finds it out, the next ones profit.
    for _ in range(3):
        answer = server.get("/api/jobs", timeout=SILENCE + SLACK)
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert "try again" in answer.json()["detail"]
    end()
    until(lambda: server.get("/api/jobs").status_code == 200, "jobs are back")


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
    assert server.get("/health/ready").json()["detail"] == "Not ready: draining."
    assert server.get("/api/jobs").status_code == 200
    # A second one means at once, without the rest of the 300 seconds.
    server.tell_to_stop()
    assert server.process is not None
    server.process.wait(timeout=60)


@pytest.mark.parametrize("path", ["/health/db-pool", "/metrics/database/pool"])
def test_an_idle_pool_is_healthy(api: httpx.Client, path: str) -> None:
    until(lambda: api.get(path).json()["checked_out"] == 0, "requests before have given theirs back")
    numbers = api.get(path).json()
    assert numbers == {
        "status": "healthy",
        "size": 20,
        "max_overflow": 10,
        "checked_out": 0,
        "idle": numbers["idle"],
        "overflow": 0,
        "waiting": 0,
        "usage_percent": 0.0,
    }


def test_a_full_pool_is_degraded_and_says_who_waits(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(
        database.url("app", pooler.host, pooler.port),
        DATABASE_POOL_SIZE="1",
        DATABASE_MAX_OVERFLOW="1",
        # The third one waits for as long as the looking takes.
        DATABASE_POOL_TIMEOUT="60",
        DATABASE_WAIT_SECONDS="60",
        SEARCH_TIMEOUT_MS="30000",
    )

    def two_ask_and_one_waits() -> bool:
        locked = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return len(database.rows(locked)) == 2 and server.get("/health/db-pool").json()["waiting"] == 1

    asking = [threading.Thread(target=server.get, args=["/api/jobs"]) for _ in range(3)]
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE jobs")
        for thread in asking:
            thread.start()
        until(two_ask_and_one_waits, "two ask, one waits")
        numbers = server.get("/health/db-pool").json()
        figures = {
            kind: value(server, "intowork_database_pool_connections", kind=kind)
            for kind in ("capacity", "size", "checked_out", "overflow")
        }
        waiting = value(server, "intowork_database_pool_waiting")
        # It is no reason to take the worker out: it answers 200.
        assert server.get("/health/ready").status_code == 200
    for thread in asking:
        thread.join()
    assert numbers == {
        "status": "degraded",
        "size": 1,
        "max_overflow": 1,
        "checked_out": 2,
        "idle": 0,
        "overflow": 1,
        "waiting": 1,
        "usage_percent": 100.0,
    }
    assert (figures, waiting) == ({"capacity": 2, "size": 1, "checked_out": 2, "overflow": 1}, 1)
    until(lambda: server.get("/health/db-pool").json()["checked_out"] == 0, "all are back")


def test_a_busy_database_is_waited_for_longer_than_a_silent_one(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    """As long as others get their turn, nobody is sent away: the line moves."""
    server = start_server(
        database.url("app", pooler.host, pooler.port),
        DATABASE_POOL_SIZE="1",
        DATABASE_MAX_OVERFLOW="0",
        DATABASE_POOL_TIMEOUT="60",
        DATABASE_WAIT_SECONDS="4",
    )
    # The last one in line waits for longer than four seconds; each answer comes well within them.
    database.run(
        "CREATE FUNCTION slow(text) RETURNS boolean LANGUAGE sql AS $$SELECT pg_sleep(0.3) IS NOT NULL$$"
    )
    database.run("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    database.run(f"GRANT EXECUTE ON FUNCTION slow TO {database.cluster.role('app')}")
    database.run("CREATE POLICY slow ON jobs USING (slow(title))")
    with database.connect() as connection:
        Rows(connection).job()
    with ThreadPoolExecutor(15) as clients:
        answers = [*clients.map(server.get, ["/api/jobs"] * 15)]
    assert [answer.status_code for answer in answers] == [200] * 15


def test_everybody_who_asks_at_once_is_answered(database: Database) -> None:
    probe = DatabaseProbe(connection_parameters(make_url(database.url("app"))))

    async def again_and_again() -> list[str | None]:
        return [await probe.problem() for _ in range(20)]

    async def at_once() -> list[list[str | None]]:
        return await asyncio.gather(*(again_and_again() for _ in range(6)))

    assert asyncio.run(at_once()) == [[None] * 20] * 6
