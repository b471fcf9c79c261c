"""Applications in the hands of employers: who sees them, where they may go, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.reviewing import ReceivedPage
from app.statuses import NEXT_STATUSES
from harness.asking import all_pages, application, employer, waiting_for_locks
from harness.cluster import Database
from harness.rows import Person, Rows
from harness.threads import at_once

NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)
STATUSES = [*NEXT_STATUSES]


@pytest.fixture
def company(rows: Rows) -> int:
    """A company."""
    return rows.company()


@pytest.fixture
def me(rows: Rows, company: int) -> Person:
    """An employer of it."""
    return rows.employer(company)


@pytest.fixture
def job(rows: Rows, company: int, me: Person) -> int:
    """A job of it."""
    return rows.job(company, employer_id=me.profile_id, title="Nurse")


def row(database: Database, application_id: int) -> tuple[Any, ...]:
    """Status, whether it was viewed, and the notes."""
    (found,) = database.rows(
        "SELECT status, viewed_at IS NOT NULL, notes FROM job_applications WHERE id = %s", application_id
    )
    return found


def told(database: Database, person: Person) -> list[tuple[Any, ...]]:
    """What this user was told."""
    return database.rows(
        "SELECT type, message, related_job_id, related_application_id FROM notifications"
        " WHERE user_id = %s ORDER BY id",
        person.user_id,
    )


def test_a_jobs_applications_are_listed_newest_first_with_who_applied(
    api: httpx.Client, rows: Rows, me: Person, job: int
) -> None:
    user = rows.user("candidate", first_name="Grace", last_name="Hopper")
    grace = Person(user, rows.insert("candidates", user_id=user, title="Admiral"), {})
    first = application(rows, job, grace, applied_at=NOW)
    second = application(rows, job, rows.candidate(), applied_at=NOW + timedelta(hours=1))
    application(rows, job, rows.candidate(), deleted_at=NOW)
    application(rows, rows.job(), grace)
    answer = api.get(f"/api/jobs/{job}/applications", headers=me.headers)
    items = answer.json()["items"]
    assert [item["id"] for item in items] == [second, first]
    assert (items[1]["candidate_name"], items[1]["candidate_title"]) == ("Grace Hopper", "Admiral")
    assert ReceivedPage.model_validate(answer.json()).model_dump(mode="json") == answer.json()


def test_a_jobs_applications_come_in_pages_and_by_status(
    api: httpx.Client, rows: Rows, me: Person, job: int
) -> None:
    made = [
        application(rows, job, rows.candidate(), status=STATUSES[n % 2], applied_at=NOW + timedelta(n // 3))
        for n in range(9)
    ]
    path = f"/api/jobs/{job}/applications"
    shown = [item["id"] for item in all_pages(api, path, me.headers, limit=2)]
    assert shown == made[::-1]
    applied = [item["id"] for item in all_pages(api, path, me.headers, limit=2, status="applied")]
    assert applied == made[::2][::-1]


def test_reading_an_application_for_the_first_time_makes_it_viewed(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database
) -> None:
    candidate = rows.candidate()
    received = application(rows, job, candidate, cover_letter="Hello", cv_url="/cv/1.pdf")
    first = api.get(f"/api/applications/{received}", headers=me.headers).json()
    again = api.get(f"/api/applications/{received}", headers=me.headers).json()
    assert (first["status"], first["cover_letter"], first["job_title"]) == ("viewed", "Hello", "Nurse")
    assert first["next_statuses"] == ["shortlisted", "rejected"]
    assert first["viewed_at"] is not None
    assert again == first
    assert row(api_database, received)[:2] == ("viewed", True)


def test_reading_a_later_one_changes_nothing(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database
) -> None:
    received = application(rows, job, rows.candidate(), status="interview")
    assert api.get(f"/api/applications/{received}", headers=me.headers).json()["status"] == "interview"
    assert row(api_database, received)[:2] == ("interview", False)


@pytest.mark.parametrize("to", STATUSES)
@pytest.mark.parametrize("status", STATUSES)
def test_an_application_goes_where_it_may_and_nowhere_else(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database, status: str, to: str
) -> None:
    candidate = rows.candidate()
    received = application(rows, job, candidate, status=status)
    answer = api.patch(f"/api/applications/{received}/status", json={"status": to}, headers=me.headers)
    following = NEXT_STATUSES[status]
    if to in following:
        assert (answer.status_code, answer.json()["status"]) == (200, to), answer.text
        assert answer.json()["next_statuses"] == [*NEXT_STATUSES[to]]
        message = f"Your application for Nurse is now: {to}."
        assert told(api_database, candidate) == [("status_change", message, job, received)]
        assert row(api_database, received)[:2] == (to, True)
    else:
        assert answer.status_code == 409, answer.text
        hint = f"from there it can go to {' or '.join(following)}" if following else "which is final"
        assert f"is {status}" in answer.json()["detail"]
        assert hint in answer.json()["detail"]
        assert told(api_database, candidate) == []
        assert row(api_database, received)[0] == status


@pytest.mark.parametrize(
    ("sent", "kept"), [({}, "Old"), ({"notes": "New"}, "New"), ({"notes": None}, None), ({"notes": ""}, "")]
)
def test_notes_are_replaced_when_they_are_sent(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database, sent: Any, kept: str | None
) -> None:
    received = application(rows, job, rows.candidate(), notes="Old")
    answer = api.patch(
        f"/api/applications/{received}/status", json={"status": "viewed", **sent}, headers=me.headers
    )
    assert (answer.status_code, answer.json()["notes"]) == (200, kept)
    assert row(api_database, received) == ("viewed", True, kept)


def test_a_candidate_never_sees_the_notes(api: httpx.Client, rows: Rows, job: int) -> None:
    candidate = rows.candidate()
    application(rows, job, candidate, notes="Not on Mondays")
    assert "Mondays" not in api.get("/api/applications/my/applications", headers=candidate.headers).text


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("applied", ["viewed", "viewed"]),
        ("viewed", ["shortlisted", "rejected"]),
        ("interview", ["accepted", "rejected"]),
        ("shortlisted", ["rejected", "rejected"]),
    ],
)
def test_of_two_employers_who_decide_at_once_exactly_one_does(
    api: httpx.Client,
    rows: Rows,
    company: int,
    job: int,
    api_database: Database,
    status: str,
    wanted: list[str],
) -> None:
    candidate = rows.candidate()
    received = application(rows, job, candidate, status=status)
    people = [rows.employer(company) for _ in wanted]
    with api_database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM job_applications WHERE id = %s FOR UPDATE", (received,))
        deciding = at_once(
            *(
                lambda person=person, to=to: api.patch(
                    f"/api/applications/{received}/status", json={"status": to}, headers=person.headers
                )
                for person, to in zip(people, wanted, strict=True)
            )
        )
        waiting_for_locks(api_database, 2)
    answers = deciding()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (won,) = (answer.json()["status"] for answer in answers if answer.status_code == 200)
    (lost,) = (answer.json()["detail"] for answer in answers if answer.status_code == 409)
    assert f"Somebody else was first. Application {received} is {won}" in lost
    assert [message for _, message, _, _ in told(api_database, candidate)] == [
        f"Your application for Nurse is now: {won}."
    ]


def test_a_decision_on_what_is_being_withdrawn_says_so(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database
) -> None:
    received = application(rows, job, rows.candidate())
    with api_database.connect() as candidate, candidate.transaction():
        candidate.execute("UPDATE job_applications SET deleted_at = now() WHERE id = %s", (received,))
        deciding = at_once(
            lambda: api.patch(
                f"/api/applications/{received}/status", json={"status": "viewed"}, headers=me.headers
            )
        )
        waiting_for_locks(api_database, 1)
    (answer,) = deciding()
    assert (answer.status_code, "has just been withdrawn" in answer.text) == (409, True)


def asked(api: httpx.Client, job: int, received: int, headers: dict[str, str]) -> list[tuple[int, str]]:
    """What the three routes answer: list, one, decide."""
    answers = [
        api.get(f"/api/jobs/{job}/applications", headers=headers),
        api.get(f"/api/applications/{received}", headers=headers),
        api.patch(f"/api/applications/{received}/status", json={"status": "viewed"}, headers=headers),
    ]
    return [(answer.status_code, answer.text) for answer in answers]


def test_applications_are_for_employers_of_the_company_who_manage_candidates(
    api: httpx.Client, rows: Rows, company: int, job: int, api_database: Database
) -> None:
    candidate = rows.candidate()
    received = application(rows, job, candidate)

    def statuses(headers: dict[str, str]) -> list[int]:
        return [status for status, _ in asked(api, job, received, headers)]

    assert statuses({}) == [401] * 3
    assert statuses(candidate.headers) == [403] * 3
    assert statuses(employer(rows, company, can_manage_candidates=False).headers) == [403] * 3
    assert statuses(employer(rows, None).headers) == [403] * 3
    assert statuses(rows.employer(rows.company()).headers) == [404] * 3
    assert row(api_database, received)[0] == "applied"


@pytest.mark.parametrize("gone", ["application", "job", "user"])
def test_what_is_deleted_is_not_there(
    api: httpx.Client, rows: Rows, me: Person, job: int, api_database: Database, gone: str
) -> None:
    candidate = rows.candidate()
    received = application(rows, job, candidate)
    table, row_id, more = {
        "application": ("job_applications", received, ""),
        "job": ("jobs", job, ", status = 'archived'"),
        "user": ("users", candidate.user_id, ""),
    }[gone]
    api_database.run(f"UPDATE {table} SET deleted_at = now(){more} WHERE id = {row_id}")
    listed, one, _ = asked(api, job, received, me.headers)
    assert one[0] == 404
    assert listed[0] == 404 if gone == "job" else '"items":[]' in listed[1]


@pytest.mark.parametrize("body", [{}, {"status": "hired"}, {"status": "viewed", "notes": "x" * 20_001}, []])
def test_a_bad_decision_is_refused(api: httpx.Client, rows: Rows, me: Person, job: int, body: Any) -> None:
    received = application(rows, job, rows.candidate())
    answer = api.patch(f"/api/applications/{received}/status", json=body, headers=me.headers)
    assert answer.status_code == 422
