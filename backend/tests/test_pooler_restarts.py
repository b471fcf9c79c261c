"""A pooler that restarts costs time and no request: what had not begun is asked again, the rest never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person, Rows
from harness.server import Server
from harness.wait import until

READERS = 10
LOCK_WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def people(database: Database) -> tuple[int, list[Person]]:
    """A job and candidates."""
    with database.connect("app") as connection:
        rows = Rows(connection)
        return rows.job(), [rows.candidate() for _ in range(READERS)]


@pytest.fixture
def server(database: Database, fragile_pooler: Pooler, start_server: Callable[..., Server]) -> Server:
    """An API that waits for its database for longer than a restart takes on the busiest machine."""
    url = database.url("app", fragile_pooler.host, fragile_pooler.port)
    return start_server(url, DATABASE_WAIT_SECONDS="60", DATABASE_CONNECT_TIMEOUT="30")


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that wait."""
    with ThreadPoolExecutor(2 * READERS) as threads:
        yield threads


@contextmanager
def open_transaction(database: Database, pooler: Pooler) -> Iterator[None]:
    """A transaction through the pooler, open for the block: one that is told to stop waits for it."""
    user, password = database.cluster.login("app")
    with psycopg.connect(
        host=pooler.host, port=pooler.port, dbname=database.name, user=user, password=password
    ) as connection:
        connection.execute("SELECT 1")
        yield


def waiting(pooler: Pooler, database: Database) -> int:
    """How many clients have said something and wait for a server connection."""
    return sum(pool["cl_waiting"] for pool in pooler.show("POOLS") if pool["database"] == database.name)


def answers(asked: list[Future[httpx.Response]]) -> list[int]:
    """The status of each."""
    return [future.result(timeout=60).status_code for future in asked]


def test_requests_that_wait_while_a_pooler_stops_are_answered_by_the_next_one(
    server: Server,
    database: Database,
    fragile_pooler: Pooler,
    people: tuple[int, list[Person]],
    clients: ThreadPoolExecutor,
) -> None:
    job, candidates = people

    def apply(person: Person) -> httpx.Response:
        return server.request(
            "POST", "/api/applications/apply", json={"job_id": job}, headers=person.headers, timeout=60
        )

    assert server.get("/api/jobs").status_code == 200
    with open_transaction(database, fragile_pooler):
        fragile_pooler.tell_to_stop()
        asked = [clients.submit(server.get, "/api/jobs", timeout=60) for _ in range(READERS)]
        asked += [clients.submit(apply, person) for person in candidates]
        # What 1.18 drops when it ends: on old connections and on new ones.
        until(lambda: waiting(fragile_pooler, database) > 1, "first statements that wait")
    fragile_pooler.wait_for_end()
    fragile_pooler.start()
    assert answers(asked) == [200] * READERS + [201] * READERS, server.output()
    assert database.rows("SELECT count(*) FROM job_applications") == [(READERS,)]


def test_requests_wait_while_nobody_listens(
    server: Server, fragile_pooler: Pooler, clients: ThreadPoolExecutor
) -> None:
    assert server.get("/api/jobs").status_code == 200
    fragile_pooler.stop()
    asked = [clients.submit(server.get, "/api/jobs", timeout=60) for _ in range(READERS)]
    # One that has taken the lost connection, and others that have found none.
    until(lambda: [server.get("/health").status_code] == [200], "the service itself answers")
    assert not any(future.done() for future in asked)
    fragile_pooler.start()
    assert answers(asked) == [200] * READERS, server.output()


def test_a_second_transaction_of_a_request_finds_its_way_too(
    server: Server, database: Database, fragile_pooler: Pooler, clients: ThreadPoolExecutor
) -> None:
    """A rate limit is counted in a transaction of its own; the sign-in itself comes after."""
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE rate_limits")
        asked = clients.submit(
            server.request,
            "POST",
            "/api/auth/login",
            json={"email": "nobody@example.com", "password": "not-the-password"},
            timeout=60,
        )
        until(
            lambda: database.rows(LOCK_WAITS),
            "the attempt is being counted",
        )
        # It waits for this transaction, and not for what comes after.
        fragile_pooler.tell_to_stop()
    fragile_pooler.wait_for_end()
    fragile_pooler.start()
    assert asked.result(timeout=60).status_code == 401, server.output()


def test_a_statement_that_was_not_the_first_is_never_repeated(
    server: Server,
    database: Database,
    fragile_pooler: Pooler,
    people: tuple[int, list[Person]],
    clients: ThreadPoolExecutor,
) -> None:
    job, (person, *_) = people
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE job_applications")
        asked = clients.submit(
            server.request,
            "POST",
            "/api/applications/apply",
            json={"job_id": job},
            headers=person.headers,
            timeout=60,
        )
        until(
            lambda: database.rows(LOCK_WAITS),
            "the request waits for the lock",
        )
        # At once, as in a crash: whether the statement was carried out, nobody can know.
        fragile_pooler.stop()
        fragile_pooler.start()
        assert asked.result(timeout=60).status_code == 503


def test_a_worker_stays_ready_while_a_pooler_restarts(
    server: Server, fragile_pooler: Pooler, clients: ThreadPoolExecutor
) -> None:
    assert server.get("/health/ready").status_code == 200
    fragile_pooler.stop()
    asked = clients.submit(server.get, "/health/ready", timeout=60)
    fragile_pooler.start()
    assert asked.result(timeout=60).status_code == 200


def test_a_worker_is_not_ready_when_nobody_listens_any_more(server: Server, fragile_pooler: Pooler) -> None:
    fragile_pooler.stop()
    answer = server.get("/health/ready")
    assert answer.status_code == 503
    assert "refused or lost" in answer.text


def test_question_that_fails_after_everybody_was_answered_is_no_error_in_the_log(
    server: Server, fragile_pooler: Pooler
) -> None:
    fragile_pooler.freeze()
    assert "no answer within 2 s" in server.get("/health/ready").text
    fragile_pooler.stop()
    until(lambda: "refused or lost" in server.get("/health/ready").text, "the next question")
    assert "never retrieved" not in server.output()
