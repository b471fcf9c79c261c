"""Many applications at once, through HTTP, pgBouncer and two servers: each candidate is in once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from harness.asking import application
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person, Rows
from harness.server import Server

APPLY = "/api/applications/apply"
MANY = 50


@pytest.fixture
def servers(
    server: Server, api_database: Database, pooler: Pooler, start_server: Callable[..., Server]
) -> list[Server]:
    """Two servers on one database, as two colours or two hosts are."""
    return [server, start_server(api_database.url("app", pooler.host, pooler.port))]


def apply_at_once(servers: list[Server], job: int, people: list[Person]) -> list[httpx.Response]:
    """One request for each of `people`, all under way at once, in turn to each server."""

    async def all_at_once() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=len(people))
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            return await asyncio.gather(
                *(
                    client.post(
                        servers[n % len(servers)].url + APPLY, json={"job_id": job}, headers=p.headers
                    )
                    for n, p in enumerate(people)
                )
            )

    return asyncio.run(all_at_once())


def there(database: Database, job: int) -> tuple[int, int, int]:
    """Rows, the job's own count, notifications."""
    (row,) = database.rows(
        "SELECT (SELECT count(*) FROM job_applications WHERE job_id = jobs.id), applications_count,"
        " (SELECT count(*) FROM notifications WHERE related_job_id = jobs.id) FROM jobs WHERE id = %s",
        job,
    )
    return row  # type: ignore[return-value]


def test_of_fifty_at_once_for_one_candidate_exactly_one_wins(
    servers: list[Server], rows: Rows, api_database: Database
) -> None:
    job, me = rows.job(), rows.candidate()
    answers = apply_at_once(servers, job, [me] * MANY)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: MANY - 1}
    assert there(api_database, job) == (1, 1, 1)


def test_of_fifty_at_once_after_withdrawing_exactly_one_brings_it_back(
    servers: list[Server], rows: Rows, api_database: Database
) -> None:
    job, me = rows.job(applications_count=1), rows.candidate()
    mine = application(rows, job, me)
    servers[0].request("DELETE", f"/api/applications/{mine}", headers=me.headers).raise_for_status()
    answers = apply_at_once(servers, job, [me] * MANY)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: MANY - 1}
    assert there(api_database, job) == (1, 1, 1)


def test_fifty_candidates_at_once_are_all_in_and_all_counted(
    servers: list[Server], rows: Rows, api_database: Database
) -> None:
    job = rows.job()
    answers = apply_at_once(servers, job, [rows.candidate() for _ in range(MANY)])
    assert Counter(answer.status_code for answer in answers) == {201: MANY}
    assert there(api_database, job) == (MANY, MANY, MANY)


def test_of_ten_candidates_who_each_ask_five_times_each_is_in_once(
    servers: list[Server], rows: Rows, api_database: Database
) -> None:
    job = rows.job()
    answers = apply_at_once(servers, job, [rows.candidate() for _ in range(10)] * 5)
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}
    assert there(api_database, job) == (10, 10, 10)
