"""Figures for Prometheus: of one worker, and of several that answer as one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness.cluster import Database
from harness.metrics import samples, value
from harness.pooler import Pooler
from harness.server import Server
from harness.wait import until

TESTS = Path(__file__).parent


@pytest.fixture
def start(database: Database, pooler: Pooler, start_server: Callable[..., Server]) -> Callable[..., Server]:
    """Starts APIs on `database` with routes that fail."""

    def started(**variables: str) -> Server:
        return start_server(
            database.url("app", pooler.host, pooler.port),
            application="harness.faults:app",
            PYTHONPATH=str(TESTS),
            **variables,
        )

    return started


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    """What makes two workers that share a directory; it is made with the service, as with systemd."""
    return {"WEB_CONCURRENCY": "2", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}


def on_new_connections(server: Server, path: str, times: int) -> list[httpx.Response]:
    """Answers, each on a connection of its own, which any worker may take."""
    return [server.get(path) for _ in range(times)]


def test_requests_are_counted_by_method_route_and_status(start: Callable[..., Server]) -> None:
    server = start()
    server.get("/api/jobs")
    server.get("/api/jobs?limit=x")
    server.get("/faults/raise/one")
    server.get("/faults/raise/two")
    server.get("/nowhere/one")
    server.request("DELETE", "/nowhere/two")
    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in samples(server, "intowork_http_requests_total")
        if sample.labels["route"] not in ("/health", "/metrics")
    }
    assert counted == {
        ("GET", "/api/jobs", "200"): 1,
        ("GET", "/api/jobs", "422"): 1,
        ("GET", "/faults/raise/{word}", "500"): 2,
        ("GET", "(none)", "404"): 1,
        ("DELETE", "(none)", "404"): 1,
    }


def test_seconds_are_counted_in_buckets_from_five_milliseconds_to_ten_seconds(
    start: Callable[..., Server],
) -> None:
    server = start()
    on_new_connections(server, "/", 3)
    buckets = samples(server, "intowork_http_request_seconds_bucket", method="GET", route="/")
    bounds = [float(sample.labels["le"]) for sample in buckets]
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.005, 10, float("inf"))
    assert [sample.value for sample in buckets] == sorted(sample.value for sample in buckets)
    assert buckets[-1].value == 3


def test_requests_in_progress_are_those_that_are_not_answered_yet(
    start: Callable[..., Server], database: Database
) -> None:
    server = start(SEARCH_TIMEOUT_MS="30000")
    asking = [threading.Thread(target=server.get, args=["/api/jobs"]) for _ in range(3)]
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE jobs")
        for thread in asking:
            thread.start()
        # And the one that asks.
        until(lambda: value(server, "intowork_http_requests_in_progress") == 4, "all three wait")
    for thread in asking:
        thread.join()
    assert value(server, "intowork_http_requests_in_progress") == 1


def test_time_spent_waiting_for_a_connection_is_counted(start: Callable[..., Server]) -> None:
    server = start()
    on_new_connections(server, "/api/jobs", 2)
    assert value(server, "intowork_database_wait_seconds_count") == 2
    assert value(server, "intowork_database_wait_seconds_sum") > 0


def test_statements_beyond_their_time_are_counted_by_cause(
    start: Callable[..., Server], database: Database
) -> None:
    server = start(SEARCH_TIMEOUT_MS="100")
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE jobs")
        assert server.get("/api/jobs").status_code == 504
    assert value(server, "intowork_database_unavailable_total", cause="statement_timeout") == 1


def test_the_release_that_runs_is_told(start: Callable[..., Server]) -> None:
    (told,) = samples(start(), "intowork_release_info")
    assert (told.labels, told.value) == (
        {"release": "release-under-test", "environment": "development"},
        1,
    )


def test_several_workers_answer_as_one(start: Callable[..., Server], shared: dict[str, str]) -> None:
    server = start(**shared)
    until(lambda: server.output().count("Application startup complete") == 2, "both workers run", seconds=120)
    answers = on_new_connections(server, "/", 40)
    assert {answer.status_code for answer in answers} == {200}
    # Whichever worker is asked, each time all of it.
    for _ in range(10):
        assert value(server, "intowork_http_requests_total", route="/") == 40
        assert value(server, "intowork_http_request_seconds_count", route="/") == 40
        assert value(server, "intowork_database_pool_connections", kind="capacity") == 2 * 30
        (release,) = samples(server, "intowork_release_info")
        assert release.value == 1


def test_a_worker_that_died_counts_for_what_it_did_and_no_more(
    start: Callable[..., Server], shared: dict[str, str], database: Database
) -> None:
    server = start(**shared, DATABASE_WAIT_SECONDS="60", SEARCH_TIMEOUT_MS="30000")
    until(lambda: server.output().count("Application startup complete") == 2, "both workers run", seconds=120)
    on_new_connections(server, "/", 20)
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    asking = threading.Thread(target=lost, args=[server])
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE jobs")
        asking.start()
        until(lambda: value(server, "intowork_http_requests_in_progress") == 2, "one request waits")
        # Both: one of them has the request, and neither gets time to say goodbye.
        for pid in workers_of(children):
            os.kill(pid, signal.SIGKILL)
        asking.join()
    until(
        lambda: server.output().count("Application startup complete") == 4,
        "two others took over",
        seconds=120,
    )
    assert value(server, "intowork_http_requests_in_progress") == 1
    assert value(server, "intowork_database_pool_connections", kind="capacity") == 2 * 30
    assert value(server, "intowork_http_requests_total", route="/") == 20


def workers_of(children: Path) -> list[int]:
    """The processes below the parent that serve; another one of multiprocessing only cleans up."""
    pids = [int(word) for word in children.read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def lost(server: Server) -> None:
    """A request whose worker dies."""
    with pytest.raises(httpx.TransportError):
        server.get("/api/jobs")
