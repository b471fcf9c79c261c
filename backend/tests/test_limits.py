"""Statement timeouts of single routes: real statements that wait for a real lock."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import make_url

from app.database import connection_parameters
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person, Rows
from harness.server import Server
from harness.wait import until


@pytest.fixture
def me(database: Database) -> Person:
    """An employer in a database of the test's own."""
    with database.connect("app") as connection:
        rows = Rows(connection)
        return rows.employer(rows.company())


@pytest.mark.parametrize(
    ("path", "setting", "table", "hint"),
    [
        ("/api/jobs", "SEARCH_TIMEOUT_MS", "jobs", "use more filters, or rarer words"),
        ("/api/dashboard", "DASHBOARD_TIMEOUT_MS", "jobs", "ask for one job (job_id)"),
        (
            "/api/dashboard/status-breakdown",
            "DASHBOARD_TIMEOUT_MS",
            "job_applications",
            "/api/dashboard/stat",
        ),
    ],
)
def test_a_statement_over_its_routes_limit_is_ended_and_the_answer_says_what_to_do(
    database: Database,
    pooler: Pooler,
    start_server: Callable[..., Server],
    me: Person,
    path: str,
    setting: str,
    table: str,
    hint: str,
) -> None:
    url = database.url("app", pooler.host, pooler.port)
    server = start_server(url, **{setting: "200"})
    with database.connect() as blocker, blocker.transaction():
        blocker.execute(f"LOCK TABLE {table}")
        answer = server.get(path, headers=me.headers)
    assert answer.status_code == 504, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert hint in answer.json()["detail"]
    # The lock is gone, and so is all that was left of the statement. A busy machine may need a second try.
    until(lambda: server.get(path, headers=me.headers).status_code == 200, "it is answered")


def test_a_limit_ends_with_its_request(
    database: Database, pooler: Pooler, start_server: Callable[..., Server], me: Person
) -> None:
    """The next transaction on the same server connection has the limit of the role again."""
    url = database.url("app", pooler.host, pooler.port)
    server = start_server(url, SEARCH_TIMEOUT_MS="1234")
    parameters = connection_parameters(make_url(url))
    with psycopg.connect(**parameters, autocommit=True) as connection:
        for _ in range(20):
            server.get("/api/jobs").raise_for_status()
            # The pooler hands out the server connection that was used last: the request's own.
            assert connection.execute("SHOW statement_timeout").fetchone() == ("30s",)
