"""Applying for a job, once; and one's own applications."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from harness.cluster import Database
from harness.rows import Rows
from harness.server import Server

APPLY = "/api/applications/apply"
MINE = "/api/applications/my/applications"


def test_applying_stores_the_application_and_counts_it(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    job, candidate = rows.job(), rows.candidate()
    answer = api.post(
        APPLY, json={"job_id": job, "cover_letter": "Bonjour\tà tous"}, headers=candidate.headers
    )
    assert answer.status_code == 201, answer.text
    assert (answer.json()["job_id"], answer.json()["status"]) == (job, "applied")
    assert api_database.rows(
        "SELECT candidate_id, status, cover_letter FROM job_applications WHERE id = %s", answer.json()["id"]
    ) == [(candidate.profile_id, "applied", "Bonjour\tà tous")]
    assert api_database.rows("SELECT applications_count FROM jobs WHERE id = %s", job) == [(1,)]


def test_a_second_live_application_is_a_conflict_and_not_counted(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    job, candidate = rows.job(), rows.candidate()
    api.post(APPLY, json={"job_id": job}, headers=candidate.headers).raise_for_status()
    again = api.post(APPLY, json={"job_id": job}, headers=candidate.headers)
    assert again.status_code == 409
    assert f"job {job} already" in again.json()["detail"]
    assert api_database.rows("SELECT applications_count FROM jobs WHERE id = %s", job) == [(1,)]


def test_after_a_rejection_one_may_apply_again(api: httpx.Client, rows: Rows) -> None:
    job, candidate = rows.job(), rows.candidate()
    rows.insert("job_applications", job_id=job, candidate_id=candidate.profile_id, status="rejected")
    assert api.post(APPLY, json={"job_id": job}, headers=candidate.headers).status_code == 201
    assert api.post(APPLY, json={"job_id": job}, headers=candidate.headers).status_code == 409


def test_of_fifty_at_once_exactly_one_wins(server: Server, rows: Rows, api_database: Database) -> None:
    job, candidate = rows.job(), rows.candidate()

    async def all_at_once() -> list[int]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            requests = (
                client.post(APPLY, json={"job_id": job}, headers=candidate.headers) for _ in range(50)
            )
            return [answer.status_code for answer in await asyncio.gather(*requests)]

    assert Counter(asyncio.run(all_at_once())) == {201: 1, 409: 49}
    assert api_database.rows(
        "SELECT count(*) FROM job_applications WHERE job_id = %s AND candidate_id = %s",
        job,
        candidate.profile_id,
    ) == [(1,)]


@pytest.mark.parametrize("status", ["draft", "closed", "archived", "unknown"])
def test_only_a_published_job_can_be_applied_for(api: httpx.Client, rows: Rows, status: str) -> None:
    job = 2_000_000_000 if status == "unknown" else rows.job(status=status)
    answer = api.post(APPLY, json={"job_id": job}, headers=rows.candidate().headers)
    assert answer.status_code == 404
    assert str(job) in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"job_id": 0},
        {"job_id": 2**31},
        {"job_id": "first"},
        {"job_id": 1, "cover_letter": "a\0b"},
        {"job_id": 1, "cover_letter": "x" * 20_001},
        {"job_id": 1, "status": "accepted"},
        [],
        "text",
    ],
)
def test_bad_application_is_refused(api: httpx.Client, rows: Rows, body: Any) -> None:
    assert api.post(APPLY, json=body, headers=rows.candidate().headers).status_code == 422


@pytest.mark.parametrize("raw", [b"", b"{", b'{"job_id": 1, "cover_letter": "\\ud800"}', b"\xff"])
def test_a_body_that_is_no_json_is_refused(api: httpx.Client, rows: Rows, raw: bytes) -> None:
    headers = {**rows.candidate().headers, "Content-Type": "application/json"}
    assert api.post(APPLY, content=raw, headers=headers).status_code in (400, 422)


def test_my_applications_are_mine_newest_first_with_what_they_are_for(api: httpx.Client, rows: Rows) -> None:
    me, other = rows.candidate(), rows.candidate()
    first, second = rows.job(rows.company("Iris Lab"), title="Nurse"), rows.job()
    for job, person in ((first, me), (second, me), (first, other)):
        api.post(APPLY, json={"job_id": job}, headers=person.headers).raise_for_status()
    page = api.get(MINE, headers=me.headers).json()
    assert [item["job_id"] for item in page["items"]] == [second, first]
    assert (page["items"][1]["job_title"], page["items"][1]["company_name"]) == ("Nurse", "Iris Lab")
    assert page["next_cursor"] is None


def test_my_applications_can_be_narrowed_by_status(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    made = {
        status: rows.insert("job_applications", job_id=rows.job(), candidate_id=me.profile_id, status=status)
        for status in ("applied", "rejected", "interview")
    }
    page = api.get(MINE, params={"status": "rejected"}, headers=me.headers).json()
    assert [item["id"] for item in page["items"]] == [made["rejected"]]


def test_pages_of_my_applications_show_every_one_once(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    job = rows.job()
    made = [
        rows.insert("job_applications", job_id=job, candidate_id=me.profile_id, status="rejected")
        for _ in range(7)
    ]
    seen: list[int] = []
    wanted: dict[str, Any] = {"limit": 3}
    for _ in range(10):
        page = api.get(MINE, params=wanted, headers=me.headers).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        wanted["cursor"] = page["next_cursor"]
    assert seen == made[::-1]


def test_unknown_status_is_refused(api: httpx.Client, rows: Rows) -> None:
    answer = api.get(MINE, params={"status": "APPLIED"}, headers=rows.candidate().headers)
    assert answer.status_code == 422
