"""A database that is away, busy or locked: 503 with when to try again, never 500, and an end by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import httpx
import psycopg
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.outages import outage
from harness.cluster import Database
from harness.metrics import samples
from harness.migrations import upgrade
from harness.outages import OUTAGES, Site
from harness.pooler import Pooler
from harness.postgres import Postgres
from harness.rows import Rows
from harness.server import SLACK, Server
from harness.wait import until

# Seconds: how long the pooler holds a client, and how long the service lets a database be silent.
POOLER_WAIT = 1
SILENCE = 2


@pytest.fixture
def site(
    database: Database, pooler_with: Callable[..., Pooler], start_server: Callable[..., Server]
) -> Callable[..., Site]:
    """Starts a site; its pooler gives up waiting clients after a second.

    The service itself would wait for far longer than these tests do, unless they say otherwise.
    """

    def started(database_wait: float = 5 * SLACK) -> Site:
        with database.connect("app") as connection:
            rows = Rows(connection)
            job, person = rows.job(), rows.candidate()
        pooler = pooler_with(pool_size=1, query_wait_timeout=POOLER_WAIT, max_client_conn=20)
        server = start_server(
            database.url("app", pooler.host, pooler.port),
            DATABASE_WAIT_SECONDS=str(database_wait),
            DATABASE_POOL_TIMEOUT="60",
            DATABASE_CONNECT_TIMEOUT="30",
        )
        return Site(server, pooler, database, job, person, wait=min(database_wait, POOLER_WAIT))

    return started


@pytest.fixture
def pooler_with(cluster: object) -> Iterator[Callable[..., Pooler]]:
    """Starts poolers with settings that end with the test."""
    started: list[Pooler] = []

    def start(pool_size: int, **settings: int) -> Pooler:
        made = Pooler(cluster, pool_size, **settings)  # type: ignore[arg-type]
        started.append(made)
        made.start()
        return made

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize("what", OUTAGES)
def test_an_outage_is_503_in_time_with_when_to_try_again_and_ends_by_itself(
    site: Callable[..., Site], what: str
) -> None:
    start, causes = OUTAGES[what]
    # The pooler's own limit ends it, unless it says nothing or lets nobody in: that is waited for.
    here = site(database_wait=1) if "no_answer" in causes else site()
    until(lambda: here.server.get("/health/ready").status_code == 200, "it serves")
    with start(here):
        answer = here.apply()
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2"), here.server.output()
        assert "try again" in answer.json()["detail"]
        assert here.database.name not in answer.text
    until(lambda: here.apply().status_code in (201, 409), "it is over")
    counted = samples(here.server, "intowork_database_unavailable_total")
    assert {sample.labels["cause"] for sample in counted if sample.value} <= causes
    assert counted
    assert '"traceback"' not in here.server.output()


def test_a_connection_that_is_lost_in_the_middle_of_a_statement_is_503(site: Callable[..., Site]) -> None:
    here = site()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(here.apply()))
    with here.database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE job_applications")
        asking.start()
        (waiting,) = until(
            lambda: here.database.rows(
                "SELECT pid FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ),
            "the request waits for the lock",
        )
        here.database.rows("SELECT pg_terminate_backend(%s)", waiting[0])
        asking.join()
    assert (answers[0].status_code, answers[0].headers["Retry-After"]) == (503, "2")
    # The pooler, with one server connection and a second to make another, may say once more that it has none.
    until(lambda: here.apply().status_code == 201, "the next one comes through")


@pytest.fixture
def own_site(start_server: Callable[..., Server]) -> Iterator[tuple[Server, Postgres]]:
    """An API on a PostgreSQL of its own."""
    with closing(Postgres()) as postgres:
        postgres.start()
        cluster = postgres.cluster()
        database = cluster.create()
        upgrade(database)
        with closing(Pooler(cluster, pool_size=5)) as pooler:
            pooler.start()
            url = database.url("app", pooler.host, pooler.port)
            yield start_server(url, DATABASE_WAIT_SECONDS=str(SILENCE)), postgres


def test_a_server_that_goes_away_behind_the_pooler_is_503_in_time_and_comes_back_by_itself(
    own_site: tuple[Server, Postgres],
) -> None:
    server, postgres = own_site
    # The pooler itself would hold a client for two minutes.
    ask = partial(server.get, timeout=SILENCE + SLACK)
    assert server.get("/api/jobs").status_code == 200
    postgres.stop()
    # One takes the connection that is there; the others make new ones: the pooler lets them in.
    with ThreadPoolExecutor(5) as clients:
        answers = [*clients.map(ask, ["/api/jobs"] * 5), ask("/api/jobs")]
    told = [(answer.status_code, answer.headers["Retry-After"]) for answer in answers]
    assert told == [(503, "2")] * 6, server.output()
    assert server.get("/health/ready").status_code == 503
    postgres.start()
    for path in ("/api/jobs", "/health/ready"):
        until(lambda path=path: server.get(path).status_code == 200, f"{path} is back")  # type: ignore[misc]


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.UndefinedTable(),
        psycopg.errors.ProgramLimitExceeded(),
        psycopg.errors.ObjectNotInPrerequisiteState(),
        psycopg.errors.InvalidSqlStatementName(),
        psycopg.errors.UniqueViolation(),
        psycopg.ProgrammingError("placeholders do not fit"),
    ],
)
def test_faults_of_the_service_are_no_outage(error: psycopg.Error) -> None:
    assert outage(ProgrammingError("SELECT 1", {}, error)) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (psycopg.errors.QueryCanceled(), 504),
        (psycopg.errors.DeadlockDetected(), 503),
        (psycopg.errors.SerializationFailure(), 503),
        (psycopg.errors.TooManyConnections(), 503),
        (psycopg.errors.DiskFull(), 503),
        (psycopg.errors.CannotConnectNow(), 503),
        (psycopg.errors.CrashShutdown(), 503),
        (psycopg.errors.IdleInTransactionSessionTimeout(), 503),
        (psycopg.errors.IdleSessionTimeout(), 503),
        (psycopg.errors.ProtocolViolation(), 503),
        (psycopg.errors.InvalidPassword(), 503),
        (psycopg.errors.ConnectionTimeout(), 503),
        (psycopg.InterfaceError("the connection is closed"), 503),
    ],
)
def test_outages_are_known_by_their_code(error: psycopg.Error, status: int) -> None:
    found = outage(OperationalError("SELECT 1", {}, error))
    assert found is not None
    assert found.status == status
