"""Logs: one JSON object a line, enough to find a fault, and nothing of what a request brought along."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import PATIENCE, Server
from harness.wait import until

TESTS = Path(__file__).parent
# Recognisable in every place where something personal may come in.
SECRET = "s3cr3t-marker"
LOGGED = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}\+00:00$"


def lines(server: Server) -> list[dict[str, Any]]:
    """All that the server wrote; each line is an object, or this fails."""
    return [json.loads(line) for line in server.output().splitlines()]


def requests(server: Server) -> list[dict[str, Any]]:
    """Its lines about requests."""
    return [line for line in lines(server) if line["logger"] == "intowork.access"]


def of(server: Server, name: str) -> list[dict[str, Any]]:
    """What it wrote about the request with this id, once that has been answered."""
    until(lambda: name in {line["request_id"] for line in requests(server)}, "the request's line is written")
    return [line for line in lines(server) if line.get("request_id") == name]


@pytest.fixture(scope="module")
def faulty(
    api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """An API with routes that fail."""
    server = Server(
        api_database.url("app", pooler.host, pooler.port),
        tmp_path_factory.mktemp("faulty") / "api.log",
        application="harness.faults:app",
        PYTHONPATH=str(TESTS),
    )
    yield server.start()
    server.stop()


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


def test_each_request_is_a_line_with_its_route_and_without_its_path(faulty: Server) -> None:
    path = f"/faults/task/{SECRET}?x={SECRET}"
    answer = faulty.get(path, headers={"X-Request-ID": "given-1"})
    (line,) = of(faulty, "given-1")
    assert re.fullmatch(LOGGED, line.pop("time"))
    assert line.pop("milliseconds") > 0
    assert line == {
        "level": "info",
        "logger": "intowork.access",
        "message": "request",
        "request_id": "given-1",
        "method": "GET",
        "route": "/faults/task/{word}",
        "status": 200,
        "bytes": len(answer.content),
    }


@pytest.mark.parametrize(("method", "told"), [("DELETE", "DELETE"), ("PROPFIND", "OTHER")])
def test_a_request_that_has_no_route_is_a_line_too(faulty: Server, method: str, told: str) -> None:
    answer = faulty.request(method, f"/people/{SECRET}")
    (line,) = of(faulty, answer.headers["X-Request-ID"])
    assert (line["method"], line["route"], line["status"]) == (told, "(none)", 404)


@pytest.mark.parametrize(
    ("level", "routes"),
    [
        ("debug", ["/health", "/metrics", "/"]),
        ("info", ["/"]),
        ("warning", []),
    ],
)
def test_level_decides_what_is_logged(start: Callable[..., Server], level: str, routes: list[str]) -> None:
    server = start(LOG_LEVEL=level)
    for path in ("/health", "/metrics", "/"):
        server.get(path)
    server.get("/faults/raise/x")
    until(lambda: "RuntimeError" in server.output(), "the last of them is written")
    # The harness itself has asked for /health while it waited.
    told = list(dict.fromkeys(line["route"] for line in requests(server)))
    assert [route for route in told if not route.startswith("/faults")] == routes


@pytest.mark.parametrize("level", ["info", "debug"])
def test_nothing_that_a_request_brings_along_is_logged(
    start: Callable[..., Server], database: Database, level: str
) -> None:
    with database.connect("app") as connection:
        rows = Rows(connection)
        job, person = rows.job(), rows.candidate()
    # So that the route fails with an error whose text has the row in it.
    database.run(f"ALTER TABLE job_applications ADD CHECK (cover_letter NOT LIKE '%{SECRET}%')")
    server = start(LOG_LEVEL=level)
    bad = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}", "User-Agent": SECRET}
    address = f"{SECRET}@example.com"
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        statuses = [
            client.get(f"/faults/raise/{SECRET}", headers=bad).status_code,
            client.get(f"/faults/task/{SECRET}").status_code,
            client.get(f"/{SECRET}", params={SECRET: SECRET}, headers=bad).status_code,
            client.get("/api/jobs", params={"search": SECRET, "limit": SECRET}).status_code,
            client.get(
                "/api/jobs", params={"search": SECRET}, headers={"X-Request-ID": f"{SECRET} x"}
            ).status_code,
            client.get("/api/profile", headers=bad).status_code,
            client.post("/api/auth/login", json={"email": address, "password": SECRET}).status_code,
            client.post("/api/auth/login", content=f'{{"{SECRET}'.encode()).status_code,
            client.post(
                "/api/applications/apply",
                json={"job_id": job, "cover_letter": f"Yours, {SECRET}"},
                headers=person.headers,
            ).status_code,
        ]
    assert statuses == [500, 200, 404, 422, 200, 401, 401, statuses[7], 500]
    assert statuses[7] in (400, 422)
    until(lambda: len(requests(server)) >= len(statuses), "all of them are logged")
    assert server.get("/health").status_code == 200
    written = server.output()
    assert SECRET not in written
    assert person.headers["Authorization"].split()[1] not in written
    assert "127.0.0.1" not in "".join(json.dumps(line) for line in requests(server))


def test_an_unforeseen_error_is_logged_once_with_its_place(faulty: Server) -> None:
    name = faulty.get("/faults/raise/x").json()["request_id"]
    (line,) = [line for line in of(faulty, name) if "traceback" in line]
    assert (line["level"], line["message"]) == ("error", "unhandled RuntimeError")
    assert "harness/faults.py" in line["traceback"]
    assert line["traceback"].index("builtins.ValueError") < line["traceback"].index("builtins.RuntimeError")


def test_an_answer_that_breaks_in_the_middle_is_logged_once(faulty: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        faulty.get("/faults/stream", headers={"X-Request-ID": "broken"})
    assert len([line for line in of(faulty, "broken") if "traceback" in line]) == 1


def test_a_database_error_is_logged_with_its_statement_and_without_its_values(
    start: Callable[..., Server], database: Database
) -> None:
    server = start()
    database.run("ALTER TABLE jobs RENAME COLUMN title TO headline")
    server.get(f"/api/jobs?location={SECRET}")
    (line,) = until(lambda: [line for line in lines(server) if "traceback" in line], "the error is logged")
    assert "sqlstate=42703" in line["traceback"]
    assert "FROM jobs" in line["traceback"].partition("statement=")[2]
    assert SECRET not in server.output()


def test_with_several_workers_every_line_is_json_the_parents_too(start: Callable[..., Server]) -> None:
    server = start(WEB_CONCURRENCY="2", UVICORN_LOG_CONFIG="logging.json")
    until(lambda: server.output().count("Application startup complete") == 2, "both workers run", seconds=120)
    server.stop()
    told = [line["message"] for line in lines(server)]
    assert any(message.startswith("Started parent process") for message in told)
    assert any(message.startswith("Stopping parent process") for message in told)
