"""Many clients on few server connections, in transaction mode."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import httpx
import psycopg
import pytest

from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person, Rows
from harness.server import Server

CLIENTS = 200
# Fewer than the clients, so that each is used often enough for a driver that prepares to begin with it.
POOL = 50
ROUNDS = 2


@pytest.fixture
def crowd(database: Database) -> tuple[list[int], list[Person]]:
    """Jobs and candidates for `CLIENTS` clients."""
    with database.connect("app") as connection:
        rows = Rows(connection)
        company = rows.company()
        employer = rows.employer(company).profile_id
        jobs = [rows.job(company, employer_id=employer, title=f"Nurse {n}") for n in range(ROUNDS)]
        return jobs, [rows.candidate() for _ in range(CLIENTS)]


def servers_of(pooler: Pooler, database: Database) -> int:
    """How many server connections the pooler has to this database now."""
    pools = [pool for pool in pooler.show("POOLS") if pool["database"] == database.name]
    return sum(pool["sv_active"] + pool["sv_idle"] + pool["sv_used"] for pool in pools)


def test_two_hundred_clients_on_ten_server_connections_get_no_error(
    crowd: tuple[list[int], list[Person]],
    database: Database,
    pooler: Pooler,
    start_server: Callable[..., Server],
) -> None:
    jobs, people = crowd
    server = start_server(
        database.url("app", pooler.host, pooler.port),
        DATABASE_POOL_SIZE=str(POOL),
        DATABASE_POOL_TIMEOUT="60",
        DATABASE_WAIT_SECONDS="60",
    )
    most_servers = 0

    async def one(client: httpx.AsyncClient, person: Person) -> list[int]:
        answers = []
        for job in jobs:
            answers += [
                await client.post("/api/applications/apply", json={"job_id": job}, headers=person.headers),
                await client.get("/api/jobs", params={"search": "nurse", "location_type": "on_site"}),
                await client.get("/api/applications/my/applications", headers=person.headers),
            ]
        return [answer.status_code for answer in answers]

    async def all_at_once() -> Counter[int]:
        nonlocal most_servers
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
            work = asyncio.gather(*(one(client, person) for person in people))
            while not work.done():
                most_servers = max(most_servers, await asyncio.to_thread(servers_of, pooler, database))
                await asyncio.wait({work}, timeout=0.2)
            return Counter(status for statuses in await work for status in statuses)

    answers = asyncio.run(all_at_once())
    assert answers == {201: CLIENTS * ROUNDS, 200: CLIENTS * ROUNDS * 2}, server.output()
    assert 0 < most_servers <= 10
    assert "prepared statement" not in server.output()


def test_prepared_statements_do_fail_behind_this_pooler(database: Database, pooler: Pooler) -> None:
    """The danger is real: with psycopg's default, what one server connection prepared another one lacks."""
    user, password = database.cluster.login("app")
    parameters = {"host": pooler.host, "port": pooler.port, "dbname": database.name}

    def connect() -> psycopg.Connection[tuple[int]]:
        return psycopg.connect(**parameters, user=user, password=password, autocommit=True)

    with connect() as preparing, connect() as other:
        for number in range(7):
            preparing.execute("SELECT %s::int", (number,))
        # The pooler hands out the connection used last: this transaction now holds the one that prepared.
        with other.transaction():
            other.execute("SELECT 1")
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                preparing.execute("SELECT %s::int", (8,))


def test_statement_timeout_of_the_role_is_answered_with_504(
    database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    with database.connect("app") as connection:
        Rows(connection).job()
    server = start_server(database.url("app", pooler.host, pooler.port))
    app = database.cluster.role("app")
    database.run(f"ALTER ROLE {app} IN DATABASE {database.name} SET statement_timeout = '200ms'")
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE jobs")
        answer = server.get("/api/jobs")
    assert answer.status_code == 504
    assert "more filters" in answer.json()["detail"]
