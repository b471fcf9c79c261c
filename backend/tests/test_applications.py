"""Applying for a job, once; taking that back; and one's own applications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.applications import ApplicationPage
from harness.asking import all_pages, application
from harness.cluster import Database
from harness.rows import Person, Rows

APPLY = "/api/applications/apply"
MINE = "/api/applications/my/applications"
STATUSES = ("applied", "viewed", "shortlisted", "interview", "rejected", "accepted")


def counted(database: Database, job: int) -> int:
    """How many applications the job says that it has."""
    ((count,),) = database.rows("SELECT applications_count FROM jobs WHERE id = %s", job)
    return int(count)


def my_ids(api: httpx.Client, me: Person) -> list[int]:
    """The ids of my applications."""
    return [item["id"] for item in api.get(MINE, headers=me.headers).json()["items"]]


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
        {"job_id": True},
        {"job_id": "1"},
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


def test_my_applications_are_what_their_description_says(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    application(rows, rows.job(), me, viewed_at=datetime.now(UTC))
    answer = api.get(MINE, headers=me.headers)
    assert ApplicationPage.model_validate(answer.json()).model_dump(mode="json") == answer.json()


def test_an_application_outlives_the_job_that_it_was_for(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    job = rows.job(status="archived", deleted_at=datetime.now(UTC))
    mine = application(rows, job, me)
    (item,) = api.get(MINE, headers=me.headers).json()["items"]
    assert (item["id"], item["job_status"]) == (mine, "archived")


def test_an_expired_job_says_that_it_has_expired(api: httpx.Client, rows: Rows) -> None:
    posted = datetime(2026, 1, 6, tzinfo=UTC)
    job = rows.job(posted_at=posted, expires_at=posted + timedelta(days=1))
    answer = api.post(APPLY, json={"job_id": job}, headers=rows.candidate().headers)
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"Job {job} expired on 2026-01-07; it takes no more applications."


def test_the_jobs_employer_is_told_of_an_application(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    company = rows.company()
    employer = rows.employer(company)
    job = rows.job(company, employer_id=employer.profile_id, title="Nurse")
    made = api.post(APPLY, json={"job_id": job}, headers=rows.candidate().headers).json()["id"]
    assert api_database.rows(
        "SELECT type, message, related_job_id, related_application_id, is_read FROM notifications"
        " WHERE user_id = %s",
        employer.user_id,
    ) == [("new_application", "A candidate has applied for Nurse.", job, made, False)]


def test_a_refused_application_tells_nobody(api: httpx.Client, rows: Rows, api_database: Database) -> None:
    me, job = rows.candidate(), rows.job()
    for _ in range(2):
        api.post(APPLY, json={"job_id": job}, headers=me.headers)
    assert api_database.rows("SELECT count(*) FROM notifications WHERE related_job_id = %s", job) == [(1,)]


def test_an_application_that_cannot_be_told_is_not_made(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    """One transaction: without the notification there is no application, and none is counted."""
    me, job = rows.candidate(), rows.job(title="Unspeakable")
    api_database.run(
        "ALTER TABLE notifications ADD CONSTRAINT unspeakable CHECK (message NOT LIKE '%Unspeakable%')"
    )
    try:
        answer = api.post(APPLY, json={"job_id": job}, headers=me.headers)
    finally:
        api_database.run("ALTER TABLE notifications DROP CONSTRAINT unspeakable")
    assert answer.status_code == 500
    assert (my_ids(api, me), counted(api_database, job)) == ([], 0)


@pytest.mark.parametrize("status", STATUSES)
def test_one_may_withdraw_until_there_is_a_decision(
    api: httpx.Client, rows: Rows, api_database: Database, status: str
) -> None:
    me, job = rows.candidate(), rows.job(applications_count=1)
    mine = application(rows, job, me, status=status)
    answer = api.delete(f"/api/applications/{mine}", headers=me.headers)
    if status in ("accepted", "rejected"):
        assert (answer.status_code, f"is {status}" in answer.text) == (409, True)
        assert (my_ids(api, me), counted(api_database, job)) == ([mine], 1)
    else:
        assert (answer.status_code, answer.content) == (204, b"")
        assert (my_ids(api, me), counted(api_database, job)) == ([], 0)


def test_withdrawing_twice_finds_nothing_and_counts_once(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    me, job = rows.candidate(), rows.job()
    mine = api.post(APPLY, json={"job_id": job}, headers=me.headers).json()["id"]
    api.post(APPLY, json={"job_id": job}, headers=rows.candidate().headers).raise_for_status()
    statuses = [api.delete(f"/api/applications/{mine}", headers=me.headers).status_code for _ in range(2)]
    assert (statuses, counted(api_database, job)) == ([204, 404], 1)


def test_nobody_withdraws_for_somebody_else(api: httpx.Client, rows: Rows, api_database: Database) -> None:
    job, me = rows.job(), rows.candidate()
    mine = api.post(APPLY, json={"job_id": job}, headers=me.headers).json()["id"]
    answers = {
        api.delete(f"/api/applications/{mine}", headers=person.headers).status_code
        for person in (rows.candidate(), rows.employer())
    }
    assert (answers, my_ids(api, me), counted(api_database, job)) == ({404, 403}, [mine], 1)


def test_after_withdrawing_one_may_apply_again_and_the_row_is_live_again(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    job, me = rows.job(), rows.candidate()
    mine = application(
        rows, job, me, status="interview", cover_letter="Old", notes="Seen", viewed_at=datetime.now(UTC)
    )
    api.delete(f"/api/applications/{mine}", headers=me.headers).raise_for_status()
    again = api.post(APPLY, json={"job_id": job, "cover_letter": "New"}, headers=me.headers)
    assert again.status_code == 201, again.text
    assert (again.json()["id"], again.json()["status"]) == (mine, "applied")
    assert api_database.rows(
        "SELECT status, cover_letter, notes, viewed_at, deleted_at, applied_at > now() - interval '1 minute'"
        " FROM job_applications WHERE job_id = %s",
        job,
    ) == [("applied", "New", None, None, None, True)]
    assert counted(api_database, job) == 1
    assert api.post(APPLY, json={"job_id": job}, headers=me.headers).status_code == 409


def test_all_pages_of_one_status_leave_out_what_was_withdrawn(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    made = [application(rows, rows.job(), me) for _ in range(5)]
    application(rows, rows.job(), me, status="viewed")
    api.delete(f"/api/applications/{made[2]}", headers=me.headers).raise_for_status()
    shown = all_pages(api, MINE, me.headers, limit=2, status="applied")
    assert [item["id"] for item in shown] == [made[n] for n in (4, 3, 1, 0)]


@pytest.mark.parametrize("application_id", ["0", str(2**31), "mine"])
def test_what_cannot_be_an_applications_id_is_refused(
    api: httpx.Client, rows: Rows, application_id: str
) -> None:
    answer = api.delete(f"/api/applications/{application_id}", headers=rows.candidate().headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", APPLY, "POST"), ("DELETE", APPLY, "POST"), ("PATCH", "/api/jobs/mine", "GET")],
)
def test_a_word_in_place_of_an_id_takes_its_own_methods_only(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
