"""Writing, publishing, closing and deleting jobs: who may, from which state, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.job_details import JobRecord
from harness.asking import employer, waiting_for_locks
from harness.cluster import Database
from harness.rows import Person, Rows
from harness.threads import at_once

NOW = datetime.now(UTC)
DRAFT = {
    "title": "Data Engineer",
    "description": "You keep our data flowing.",
    "location_type": "hybrid",
    "job_type": "full_time",
}


@pytest.fixture
def me(rows: Rows) -> Person:
    """An employer with a company."""
    return rows.employer(rows.company())


def company_of(database: Database, person: Person) -> int:
    """The company of an employer."""
    ((company,),) = database.rows("SELECT company_id FROM employers WHERE id = %s", person.profile_id)
    return int(company)


def make(rows: Rows, database: Database, person: Person, **values: Any) -> int:
    """A job of this employer's company."""
    return rows.job(company_of(database, person), employer_id=person.profile_id, **values)


def stored(database: Database, job: int) -> tuple[Any, ...]:
    """Status, whether posted, whether deleted."""
    (row,) = database.rows(
        "SELECT status, posted_at IS NOT NULL, deleted_at IS NOT NULL FROM jobs WHERE id = %s", job
    )
    return row


def test_a_new_job_is_a_draft_of_the_employers_company(
    api: httpx.Client, me: Person, api_database: Database
) -> None:
    answer = api.post("/api/jobs", json={**DRAFT, "salary_min": 40_000}, headers=me.headers)
    assert answer.status_code == 201, answer.text
    job = JobRecord.model_validate(answer.json())
    assert (job.status, job.employer_id, job.company_id) == (
        "draft",
        me.profile_id,
        company_of(api_database, me),
    )
    assert (job.title, job.salary_min, job.currency, job.views_count) == ("Data Engineer", 40_000, "EUR", 0)
    assert stored(api_database, job.id) == ("draft", False, False)


def test_a_draft_is_published_and_closed(api: httpx.Client, me: Person) -> None:
    job = api.post("/api/jobs", json=DRAFT, headers=me.headers).json()["id"]
    assert api.get(f"/api/jobs/{job}").status_code == 404
    published = api.post(f"/api/jobs/{job}/publish", headers=me.headers)
    assert (published.status_code, published.json()["status"]) == (200, "published")
    assert api.get(f"/api/jobs/{job}").json()["posted_at"] == published.json()["posted_at"]
    closed = api.post(f"/api/jobs/{job}/close", headers=me.headers)
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    assert api.get(f"/api/jobs/{job}").status_code == 404


def test_a_job_published_without_an_end_gets_one(api: httpx.Client, me: Person) -> None:
    job = api.post("/api/jobs", json=DRAFT, headers=me.headers).json()["id"]
    record = JobRecord.model_validate(api.post(f"/api/jobs/{job}/publish", headers=me.headers).json())
    assert record.posted_at is not None
    assert record.expires_at is not None
    assert record.expires_at - record.posted_at == timedelta(days=60)


def test_a_job_keeps_the_end_that_it_was_given(api: httpx.Client, me: Person) -> None:
    end = (NOW + timedelta(days=10)).replace(microsecond=0)
    draft = {**DRAFT, "expires_at": end.astimezone().isoformat()}
    job = api.post("/api/jobs", json=draft, headers=me.headers).json()["id"]
    record = JobRecord.model_validate(api.post(f"/api/jobs/{job}/publish", headers=me.headers).json())
    assert record.expires_at == end


STEPS = [("PATCH", ""), ("POST", "/publish"), ("POST", "/close"), ("DELETE", "")]
ALL = {"draft", "published", "closed", "archived"}


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed", "after"),
    [
        ("POST", "/publish", None, {"draft"}, "published"),
        ("POST", "/close", None, {"published"}, "closed"),
        ("DELETE", "", None, ALL, "archived"),
        ("PATCH", "", {"benefits": "Lunch"}, {"draft", "published"}, None),
    ],
)
@pytest.mark.parametrize("status", sorted(ALL))
def test_each_step_is_for_certain_states_and_says_so(
    api: httpx.Client,
    rows: Rows,
    me: Person,
    api_database: Database,
    method: str,
    path: str,
    body: Any,
    allowed: set[str],
    after: str | None,
    status: str,
) -> None:
    posted = None if status == "draft" else NOW
    job = make(rows, api_database, me, status=status, posted_at=posted)
    answer = api.request(method, f"/api/jobs/{job}{path}", json=body, headers=me.headers)
    if status in allowed:
        assert answer.status_code in (200, 204), answer.text
        assert stored(api_database, job)[0] == (after or status)
    else:
        assert answer.status_code == 409, answer.text
        assert f"Job {job} is {status}; only one that is" in answer.json()["detail"]
        assert stored(api_database, job)[0] == status


def test_a_deleted_job_stays_in_the_table_and_is_found_by_nobody(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me)
    assert api.delete(f"/api/jobs/{job}", headers=me.headers).status_code == 204
    assert stored(api_database, job) == ("archived", True, True)
    for method, path in (("GET", ""), *STEPS):
        body = {"title": "Other"} if method == "PATCH" else None
        again = api.request(method, f"/api/jobs/{job}{path}", json=body, headers=me.headers)
        assert again.status_code == 404, (method, path)


@pytest.mark.parametrize(("method", "path"), STEPS)
@pytest.mark.parametrize(("status", "expected"), [("draft", 404), ("published", 403), ("closed", 404)])
def test_other_companies_jobs_are_refused_and_their_drafts_not_even_admitted(
    api: httpx.Client,
    rows: Rows,
    me: Person,
    api_database: Database,
    method: str,
    path: str,
    status: str,
    expected: int,
) -> None:
    job = rows.job(status=status)
    body = {"title": "Mine now"} if method == "PATCH" else None
    answer = api.request(method, f"/api/jobs/{job}{path}", json=body, headers=me.headers)
    assert answer.status_code == expected, answer.text
    assert stored(api_database, job)[0] == status


@pytest.mark.parametrize(("method", "path"), [("POST", ""), *[(m, f"/1{p}") for m, p in STEPS]])
def test_writing_jobs_is_for_employers_who_may(api: httpx.Client, rows: Rows, method: str, path: str) -> None:
    body: Any = {"PATCH": {"title": "Other"}, "POST": DRAFT if path == "" else None}.get(method)
    company = rows.company()

    def answer(headers: dict[str, str]) -> tuple[int, str]:
        given = api.request(method, f"/api/jobs{path}", json=body, headers=headers)
        return given.status_code, given.text

    assert answer({})[0] == 401
    assert answer(rows.candidate().headers)[0] == 403
    barred = answer(employer(rows, company, can_create_jobs=False).headers)
    assert (barred[0], "You may not create or change jobs" in barred[1]) == (403, True)
    unbound = answer(employer(rows, None).headers)
    assert (unbound[0], "not joined a company" in unbound[1]) == (403, True)


def test_a_colleague_of_the_company_may_change_its_jobs(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    colleague = rows.employer(company_of(api_database, me))
    job = make(rows, api_database, me)
    answer = api.patch(f"/api/jobs/{job}", json={"title": "Analyst"}, headers=colleague.headers)
    assert (answer.status_code, answer.json()["title"]) == (200, "Analyst")


def test_a_change_changes_what_it_names_and_nothing_else(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me, benefits="Lunch", salary_min=1, salary_max=2, location="Lyon")
    columns = "to_jsonb(jobs) - 'updated_at' - 'title' - 'location'"
    before = api_database.rows(f"SELECT {columns} FROM jobs WHERE id = %s", job)
    answer = api.patch(f"/api/jobs/{job}", json={"title": " Analyst ", "location": None}, headers=me.headers)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["title"], answer.json()["location"]) == ("Analyst", None)
    assert api_database.rows(f"SELECT {columns} FROM jobs WHERE id = %s", job) == before


BAD: list[dict[str, Any]] = [
    {"title": None},
    {"title": "  "},
    {"title": "x" * 201},
    {"title": "a\0b"},
    {"description": ""},
    {"description": "x" * 20_001},
    {"job_type": "permanent"},
    {"location_type": None},
    {"currency": "euro"},
    {"currency": None},
    {"salary_min": -1},
    {"salary_min": 2**31},
    {"salary_min": True},
    {"salary_min": "40000"},
    {"salary_min": 2, "salary_max": 1},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "9999-12-31T23:59:59-12:00"},
    {"expires_at": "2026-12-01T00:00:00"},
    {"expires_at": "soon"},
    {"expires_at": 1_900_000_000},
    {"expires_at": "1900000000"},
    {"status": "published"},
    {"is_featured": True},
    {"views_count": 1},
    {"company_id": 1},
]


@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_job_is_refused_new_or_changed(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database, wrong: dict[str, Any]
) -> None:
    new = api.post("/api/jobs", json={**DRAFT, **wrong}, headers=me.headers)
    assert new.status_code == 422, new.text
    job = make(rows, api_database, me)
    changed = api.patch(f"/api/jobs/{job}", json=wrong, headers=me.headers)
    assert changed.status_code == 422, changed.text


@pytest.mark.parametrize("missing", sorted(DRAFT))
def test_a_new_job_needs_its_parts(api: httpx.Client, me: Person, missing: str) -> None:
    body = {name: value for name, value in DRAFT.items() if name != missing}
    answer = api.post("/api/jobs", json=body, headers=me.headers)
    assert (answer.status_code, missing in answer.text) == (422, True)


def test_a_change_that_names_nothing_is_refused(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me)
    answer = api.patch(f"/api/jobs/{job}", json={}, headers=me.headers)
    assert (answer.status_code, "names nothing to change" in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("stored_values", "change", "said"),
    [
        ({"salary_min": 10}, {"salary_max": 9}, "salary_min is above salary_max"),
        ({"salary_max": 10}, {"salary_min": 11}, "salary_min is above salary_max"),
        (
            {"posted_at": NOW + timedelta(days=3)},
            {"expires_at": (NOW + timedelta(days=2)).isoformat()},
            "expires_at is before posted_at",
        ),
    ],
)
def test_a_change_is_checked_together_with_what_is_stored(
    api: httpx.Client,
    rows: Rows,
    me: Person,
    api_database: Database,
    stored_values: dict[str, Any],
    change: dict[str, Any],
    said: str,
) -> None:
    job = make(rows, api_database, me, **stored_values)
    answer = api.patch(f"/api/jobs/{job}", json=change, headers=me.headers)
    assert (answer.status_code, said in answer.text) == (422, True), answer.text


def test_of_two_changes_at_once_the_second_is_checked_against_the_first(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me, salary_min=10, salary_max=20)
    with api_database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (job,))
        changing = at_once(
            *(
                lambda change=change: api.patch(f"/api/jobs/{job}", json=change, headers=me.headers)
                for change in ({"salary_min": 20}, {"salary_max": 10})
            )
        )
        waiting_for_locks(api_database, 2)
    assert sorted(answer.status_code for answer in changing()) == [200, 422]


def test_a_draft_whose_end_has_passed_cannot_be_published(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me, status="draft", posted_at=None, expires_at=NOW - timedelta(days=1))
    answer = api.post(f"/api/jobs/{job}/publish", headers=me.headers)
    assert (answer.status_code, "has passed; set a later one first" in answer.text) == (409, True)
    later = {"expires_at": (NOW + timedelta(days=1)).isoformat()}
    assert api.patch(f"/api/jobs/{job}", json=later, headers=me.headers).status_code == 200
    assert api.post(f"/api/jobs/{job}/publish", headers=me.headers).status_code == 200


def test_of_two_who_publish_at_once_one_does(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    job = make(rows, api_database, me, status="draft", posted_at=None)
    with api_database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (job,))
        publishing = at_once(
            *(lambda: api.post(f"/api/jobs/{job}/publish", headers=me.headers) for _ in range(2))
        )
        waiting_for_locks(api_database, 2)
    assert sorted(answer.status_code for answer in publishing()) == [200, 409]
