"""Errors: problem details for each, with the request's id and without what was sent."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.problems import Problem
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import Server

TESTS = Path(__file__).parent
JSON = {"Content-Type": "application/json"}

REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "no route": (404, {"method": "GET", "url": "/nowhere"}),
    "no such method": (405, {"method": "DELETE", "url": "/health"}),
    "a wrong value": (422, {"method": "GET", "url": "/api/jobs", "params": {"limit": "many"}}),
    "no token": (401, {"method": "GET", "url": "/api/monitoring/connections"}),
    "too much": (413, {"method": "POST", "url": "/api/applications/apply", "content": b"x" * 1_048_577}),
}


@pytest.fixture
def faulty(database: Database, pooler: Pooler, start_server: Callable[..., Server]) -> Server:
    """An API with routes that fail."""
    return start_server(
        database.url("app", pooler.host, pooler.port), application="harness.faults:app", PYTHONPATH=str(TESTS)
    )


def problem(answer: httpx.Response) -> Problem:
    """The problem in an answer, which has nothing in it that the description does not name."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json()) <= set(Problem.model_fields)
    return Problem.model_validate(answer.json())


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_is_told_as_problem_details(api: httpx.Client, why: str) -> None:
    status, request = REFUSED[why]
    answer = api.request(**request)
    told = problem(answer)
    assert answer.status_code == told.status == status
    assert told.title == HTTPStatus(status).phrase
    assert told.instance == request["url"]
    assert told.request_id == answer.headers["X-Request-ID"]
    assert told.detail.endswith(".")
    assert told.detail != told.title


def test_method_that_a_route_does_not_take_is_refused_with_those_that_it_takes(api: httpx.Client) -> None:
    assert api.delete("/health").headers["Allow"] == "GET"


def test_a_slash_too_many_is_not_sent_to_the_host_that_the_client_names(
    api: httpx.Client,
) -> None:
    answer = api.get("/api/jobs/", headers={"Host": "elsewhere.test"})
    assert (answer.status_code, "Location" in answer.headers) == (404, False)


def test_request_without_a_token_learns_what_to_send(api: httpx.Client) -> None:
    assert api.get("/api/monitoring/connections").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{}", b"[1, 2"])
def test_body_that_is_no_json_is_a_bad_request(api: httpx.Client, rows: Rows, body: bytes) -> None:
    answer = api.post("/api/applications/apply", content=body, headers={**JSON, **rows.candidate().headers})
    assert answer.status_code == 400
    assert "JSON" in problem(answer).detail


def test_all_that_is_wrong_with_the_input_is_told_at_once_and_not_repeated(api: httpx.Client) -> None:
    answer = api.get("/api/jobs", params={"limit": "s3cret-limit", "job_type": "s3cret-type"})
    told = problem(answer)
    assert told.errors is not None
    assert {tuple(error.loc) for error in told.errors} == {("query", "limit"), ("query", "job_type")}
    assert told.detail.startswith("2 things")
    assert "s3cret" not in answer.text


def test_an_unforeseen_error_is_told_without_its_text(faulty: Server) -> None:
    answer = faulty.get("/faults/raise/s3cret")
    told = problem(answer)
    assert (answer.status_code, told.request_id) == (500, answer.headers["X-Request-ID"])
    assert "s3cret" not in told.detail
    assert "RuntimeError" not in answer.text
    assert "nosniff" in answer.headers["X-Content-Type-Options"]


def test_an_answer_that_breaks_in_the_middle_does_not_pass_for_whole(faulty: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        faulty.get("/faults/stream")
    assert faulty.get("/health").status_code == 200


def test_a_broken_schema_is_an_error_of_the_service_and_no_outage(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(database.url("app", pooler.host, pooler.port))
    database.run("ALTER TABLE jobs RENAME TO jobs_that_went_away")
    answer = server.get("/api/jobs")
    assert (answer.status_code, "Retry-After" in answer.headers) == (500, False)
    assert "jobs_that_went_away" not in answer.text
