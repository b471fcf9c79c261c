"""Views of jobs: counted without writing in the request, none lost at a stop, no deadlock between workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.views import ViewCounter
from harness.asking import waiting_for_locks
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import Server
from harness.wait import until


@pytest.fixture
def jobs(database: Database) -> list[int]:
    """Some jobs in a database of the test's own."""
    with database.connect("app") as connection:
        rows = Rows(connection)
        company = rows.company()
        employer = rows.employer(company).profile_id
        return [rows.job(company, employer_id=employer) for _ in range(5)]


def views(database: Database, jobs: list[int]) -> list[int]:
    """The stored views of these jobs."""
    found = dict(database.rows("SELECT id, views_count FROM jobs WHERE id = ANY (%s)", jobs))
    return [found[job] for job in jobs]


def look(server: Server, job: int, times: int) -> None:
    """Look at a job."""
    for _ in range(times):
        assert server.get(f"/api/jobs/{job}").status_code == 200


def test_views_are_written_after_some_seconds(
    database: Database, jobs: list[int], pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="0.2")
    look(server, jobs[0], 3)
    look(server, jobs[1], 1)
    until(lambda: views(database, jobs[:3]) == [3, 1, 0], "three views and one are stored")


def test_a_view_writes_nothing_while_it_is_answered(
    database: Database, jobs: list[int], pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    """Not even the row may be locked: the answer comes while somebody else has it."""
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="3600")
    with database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM jobs FOR UPDATE")
        look(server, jobs[0], 2)
    assert views(database, jobs[:1]) == [0]


def test_a_worker_that_stops_writes_what_it_counted(
    database: Database, jobs: list[int], pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="3600")
    look(server, jobs[0], 2)
    server.stop()
    assert views(database, jobs[:1]) == [2]


def test_views_wait_for_a_database_that_is_away(
    database: Database, jobs: list[int], fragile_pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    url = database.url("app", fragile_pooler.host, fragile_pooler.port)
    server = start_server(url, VIEWS_FLUSH_SECONDS="0.3")
    look(server, jobs[0], 2)
    fragile_pooler.stop()
    until(lambda: "views" in server.output() and "wait" in server.output(), "a write fails")
    fragile_pooler.start()
    until(lambda: views(database, jobs[:1]) == [2], "both views are stored")


def test_the_employers_own_looks_do_not_count(
    database: Database, jobs: list[int], pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    ((company,),) = database.rows("SELECT company_id FROM jobs WHERE id = %s", jobs[0])
    with database.connect("app") as connection:
        colleague = Rows(connection).employer(company)
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="3600")
    assert server.get(f"/api/jobs/{jobs[0]}", headers=colleague.headers).status_code == 200
    look(server, jobs[1], 1)
    server.stop()
    assert views(database, jobs[:2]) == [0, 1]


def test_a_view_of_what_is_not_there_does_not_count(
    database: Database, jobs: list[int], pooler: Pooler, start_server: Callable[..., Server]
) -> None:
    database.run(f"UPDATE jobs SET status = 'closed' WHERE id = {jobs[0]}")
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="3600")
    assert server.get(f"/api/jobs/{jobs[0]}").status_code == 404
    server.stop()
    assert views(database, jobs[:1]) == [0]


def counter(database: Database) -> ViewCounter:
    """A counter as a worker has it."""
    return ViewCounter(async_sessionmaker(create_async_engine(database.url("app"))), 3600)


def test_rows_are_locked_in_the_order_of_their_ids(database: Database, jobs: list[int]) -> None:
    """Whatever was seen first: so two workers can wait for each other, but never both."""

    async def flush() -> None:
        counted = counter(database)
        for job in reversed(jobs):
            counted.count(job)
        with database.connect() as blocker, blocker.transaction():
            blocker.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (jobs[2],))
            flushing = asyncio.create_task(counted.flush())
            await asyncio.to_thread(waiting_for_locks, database, 1)
            free = database.rows(
                "SELECT id FROM jobs WHERE id = ANY (%s) FOR NO KEY UPDATE SKIP LOCKED", jobs
            )
            assert sorted(job for (job,) in free) == jobs[3:]
        await flushing

    asyncio.run(flush())
    assert views(database, jobs) == [1] * len(jobs)


def test_workers_that_write_at_once_lose_nothing(database: Database, jobs: list[int]) -> None:
    """Also not the views that another has added while one waited for the row."""

    async def flush_at_once() -> None:
        workers = [counter(database) for _ in range(8)]
        for number, worker in enumerate(workers):
            for job in jobs if number % 2 else reversed(jobs):
                worker.count(job)
                worker.count(job)
        with database.connect() as blocker, blocker.transaction():
            blocker.execute("SELECT FROM jobs FOR UPDATE")
            flushing = asyncio.gather(*(worker.flush() for worker in workers))
            await asyncio.to_thread(waiting_for_locks, database, len(workers))
        await flushing

    asyncio.run(flush_at_once())
    assert views(database, jobs) == [16] * len(jobs)


def test_counting_views_changes_nothing_else_and_leaves_no_trail(database: Database, jobs: list[int]) -> None:
    columns = "to_jsonb(jobs) - 'views_count'"
    before = database.rows(f"SELECT {columns} FROM jobs ORDER BY id")

    async def flush() -> None:
        counted = counter(database)
        counted.count(jobs[0])
        await counted.flush()

    asyncio.run(flush())
    assert views(database, jobs[:1]) == [1]
    assert database.rows(f"SELECT {columns} FROM jobs ORDER BY id") == before
    assert database.rows("SELECT count(*) FROM audit.changes") == [(0,)]


def test_a_job_that_is_gone_by_then_stops_no_other(database: Database, jobs: list[int]) -> None:
    async def flush() -> None:
        counted = counter(database)
        for job in (jobs[0], 2_000_000_000):
            counted.count(job)
        await counted.flush()

    asyncio.run(flush())
    assert views(database, jobs[:1]) == [1]


def test_a_write_that_fails_is_tried_again_with_what_came_since(database: Database, jobs: list[int]) -> None:
    async def flush_twice() -> None:
        counted = counter(database)
        counted.count(jobs[0])
        with database.connect() as away:
            away.execute(f"REVOKE UPDATE ON jobs FROM {database.cluster.role('app')}")
            await counted.flush()
            assert views(database, jobs[:1]) == [0]
            away.execute(f"GRANT UPDATE ON jobs TO {database.cluster.role('app')}")
        counted.count(jobs[0])
        await counted.flush()

    asyncio.run(flush_twice())
    assert views(database, jobs[:1]) == [2]
