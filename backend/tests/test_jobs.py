"""Published jobs: the list with its filters, pages and bad input; one of them; an employer's own ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.job_details import JobDetails, OwnJobPage
from app.api.jobs import JobPage
from harness.asking import all_pages
from harness.rows import Rows, bearer

NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)
SOON = datetime.now(UTC) + timedelta(days=1)
JUST_NOW = datetime.now(UTC) - timedelta(seconds=1)
MINE = "/api/jobs/mine"


def listed(api: httpx.Client, **wanted: Any) -> list[dict[str, Any]]:
    """The jobs of one page."""
    answer = api.get("/api/jobs", params=wanted)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_only_published_jobs_are_listed(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    published = rows.job(company)
    for status in ("draft", "closed", "archived"):
        rows.job(company, status=status)
    assert [job["id"] for job in listed(api, company_id=company)] == [published]


def test_a_job_is_shown_with_its_company(api: httpx.Client, rows: Rows) -> None:
    company = rows.company("Loire Conseil")
    job = rows.job(company, location="Nantes", salary_min=40_000, salary_max=50_000, posted_at=NOW)
    assert listed(api, company_id=company) == [
        {
            "id": job,
            "title": "Data Engineer",
            "company_id": company,
            "company_name": "Loire Conseil",
            "location": "Nantes",
            "location_type": "on_site",
            "job_type": "full_time",
            "salary_min": 40_000,
            "salary_max": 50_000,
            "currency": "EUR",
            "is_featured": False,
            "applications_count": 0,
            "posted_at": "2026-01-06T09:30:00Z",
            "expires_at": None,
        }
    ]


@pytest.mark.parametrize(
    ("wanted", "match", "other"),
    [
        ({"location_type": "remote"}, {"location_type": "remote"}, {"location_type": "hybrid"}),
        ({"job_type": "internship"}, {"job_type": "internship"}, {"job_type": "contract"}),
        ({"location": "lyon"}, {"location": "Lyon 3e"}, {"location": "Paris"}),
        ({"location": "100%"}, {"location": "100% remote"}, {"location": "100 rue de Lyon"}),
        ({"search": "engineers data"}, {"title": "Data Engineer"}, {"title": "Data Analyst"}),
        ({"search": '"data engineer"'}, {"title": "Senior Data Engineer"}, {"title": "Engineer for Data"}),
        ({"search": "data -analyst"}, {"title": "Data Engineer"}, {"title": "Data Analyst"}),
        ({"salary_min": 40_000}, {"salary_min": 35_000, "salary_max": 40_000}, {"salary_max": 39_999}),
        ({"salary_min": 40_000}, {"salary_min": 40_000}, {}),
        (
            {"location_type": "remote", "job_type": "contract"},
            {"location_type": "remote", "job_type": "contract"},
            {"location_type": "remote", "job_type": "full_time"},
        ),
    ],
)
def test_filter_finds_what_matches_and_nothing_else(
    api: httpx.Client, rows: Rows, wanted: dict[str, Any], match: dict[str, Any], other: dict[str, Any]
) -> None:
    company = rows.company()
    found = rows.job(company, **match)
    rows.job(company, **other)
    assert [job["id"] for job in listed(api, company_id=company, **wanted)] == [found]


def test_newest_comes_first_and_the_higher_id_of_the_same_minute(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    old, new, also_new = (rows.job(company, posted_at=at) for at in (NOW - timedelta(days=1), NOW, NOW))
    assert [job["id"] for job in listed(api, company_id=company)] == [also_new, new, old]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_show_every_job_once(api: httpx.Client, rows: Rows, limit: int) -> None:
    company = rows.company()
    employer = rows.employer(company).profile_id
    # Several of the same time, so that pages end between them.
    made = [
        rows.job(company, employer_id=employer, posted_at=NOW - timedelta(hours=number // 4))
        for number in range(21)
    ]
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(30):
        wanted = {"company_id": company, "limit": limit, **({"cursor": cursor} if cursor else {})}
        page = api.get("/api/jobs", params=wanted).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == made
    assert len(seen) == len(made)


def test_a_job_posted_between_two_pages_moves_nothing(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    made = [rows.job(company, posted_at=NOW - timedelta(hours=number)) for number in range(4)]
    first = api.get("/api/jobs", params={"company_id": company, "limit": 2}).json()
    rows.job(company, posted_at=NOW + timedelta(hours=1))
    second = api.get(
        "/api/jobs", params={"company_id": company, "limit": 2, "cursor": first["next_cursor"]}
    ).json()
    assert [job["id"] for job in first["items"] + second["items"]] == made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("location_type", "REMOTE"),
        ("job_type", "permanent"),
        ("company_id", "0"),
        ("company_id", str(2**31)),
        ("company_id", "one"),
        ("limit", "0"),
        ("limit", "101"),
        ("salary_min", "-1"),
        ("salary_min", "1e9"),
        ("search", ""),
        ("search", "x" * 201),
        ("search", "a\0b"),
        ("location", "\0"),
        ("cursor", "nonsense"),
        ("cursor", "é"),
        ("cursor", "WzEsMl0"),
        ("cursor", "WyIyMDI2LTAxLTA2IiwxXQ"),
        ("cursor", "WyIyMDI2LTAxLTA2VDAwOjAwOjAwKzAwOjAwIix0cnVlXQ"),
        ("status", "draft"),
    ],
)
def test_bad_filter_is_refused_by_name(api: httpx.Client, name: str, value: str) -> None:
    answer = api.get("/api/jobs", params={name: value})
    assert answer.status_code == 422, answer.text
    assert name in answer.text


def test_an_expired_job_is_not_listed_and_one_without_an_end_is(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    endless, still = rows.job(company, posted_at=NOW), rows.job(company, expires_at=SOON)
    rows.job(company, posted_at=NOW, expires_at=JUST_NOW)
    assert [job["id"] for job in listed(api, company_id=company)] == [still, endless]


def test_the_list_is_what_its_description_says(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    for filled in ({}, {"location": "Lyon", "salary_min": 1, "salary_max": 2, "expires_at": SOON}):
        rows.job(company, **filled)
    answer = api.get("/api/jobs", params={"company_id": company, "limit": 1})
    assert answer.headers["content-type"] == "application/json"
    page = JobPage.model_validate(answer.json(), strict=False)
    assert page.model_dump(mode="json") == answer.json()


def test_an_empty_list_is_a_page_too(api: httpx.Client, rows: Rows) -> None:
    answer = api.get("/api/jobs", params={"company_id": rows.company()})
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


def test_one_job_is_shown_with_all_that_is_written_about_it(api: httpx.Client, rows: Rows) -> None:
    company = rows.company("Loire Conseil")
    job = rows.job(company, requirements="Patience", benefits="Lunch", salary_min=30_000)
    answer = api.get(f"/api/jobs/{job}")
    assert answer.status_code == 200, answer.text
    shown = JobDetails.model_validate(answer.json())
    assert (shown.id, shown.company_name, shown.requirements) == (job, "Loire Conseil", "Patience")
    assert (shown.benefits, shown.salary_min, shown.status) == ("Lunch", 30_000, "published")


HIDDEN: list[dict[str, Any]] = [
    {"status": "draft", "posted_at": None},
    {"status": "closed"},
    {"status": "archived"},
    {"status": "archived", "deleted_at": NOW},
    {"posted_at": NOW, "expires_at": JUST_NOW},
]


@pytest.mark.parametrize("values", HIDDEN)
def test_what_is_not_published_is_shown_to_nobody_outside(
    api: httpx.Client, rows: Rows, values: dict[str, Any]
) -> None:
    job = rows.job(**values)
    for headers in ({}, rows.candidate().headers, rows.employer(rows.company()).headers):
        answer = api.get(f"/api/jobs/{job}", headers=headers)
        assert answer.status_code == 404
        assert f"No published job has the id {job}." in answer.text


@pytest.mark.parametrize("values", [values for values in HIDDEN if "deleted_at" not in values])
def test_the_company_sees_its_jobs_in_any_state(
    api: httpx.Client, rows: Rows, values: dict[str, Any]
) -> None:
    company = rows.company()
    job = rows.job(company, **values)
    answer = api.get(f"/api/jobs/{job}", headers=rows.employer(company).headers)
    assert (answer.status_code, answer.json()["id"]) == (200, job)


def test_a_deleted_job_is_shown_to_nobody(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    job = rows.job(company, status="archived", deleted_at=NOW)
    assert api.get(f"/api/jobs/{job}", headers=rows.employer(company).headers).status_code == 404


def test_a_bad_token_is_refused_where_none_is_needed(api: httpx.Client, rows: Rows) -> None:
    answer = api.get(f"/api/jobs/{rows.job()}", headers=bearer(2_000_000_000))
    assert answer.status_code == 401


@pytest.mark.parametrize("job_id", ["0", "-1", str(2**31), "first", "1.5"])
def test_what_cannot_be_an_id_is_refused(api: httpx.Client, job_id: str) -> None:
    assert api.get(f"/api/jobs/{job_id}").status_code == 422


def test_my_jobs_are_mine_in_any_state_but_deleted(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    me = rows.employer(company)
    made = [
        rows.job(company, employer_id=me.profile_id, status=status, created_at=NOW + timedelta(hours=number))
        for number, status in enumerate(("draft", "published", "closed", "archived"))
    ]
    rows.job(company, employer_id=me.profile_id, status="archived", deleted_at=NOW)
    rows.job(company)
    answer = api.get(MINE, headers=me.headers)
    assert [job["id"] for job in answer.json()["items"]] == made[::-1]
    assert OwnJobPage.model_validate(answer.json()).model_dump(mode="json") == answer.json()


def test_my_jobs_can_be_narrowed_by_status_and_come_in_pages(api: httpx.Client, rows: Rows) -> None:
    company = rows.company()
    me = rows.employer(company)
    made = {
        status: [rows.job(company, employer_id=me.profile_id, status=status) for _ in range(5)]
        for status in ("draft", "published")
    }
    shown = all_pages(api, MINE, me.headers, limit=2, status="draft")
    assert [job["id"] for job in shown] == made["draft"][::-1]
    everything = all_pages(api, MINE, me.headers, limit=3)
    assert sorted(job["id"] for job in everything) == sorted(made["draft"] + made["published"])


def test_only_employers_have_own_jobs(api: httpx.Client, rows: Rows) -> None:
    assert api.get(MINE, headers=rows.candidate().headers).status_code == 403
    assert api.get(MINE).status_code == 401


def test_listed_origins_may_call_from_a_browser_and_others_not(api: httpx.Client) -> None:
    def allowed(origin: str) -> str | None:
        return api.get("/api/jobs", headers={"Origin": origin}).headers.get("access-control-allow-origin")

    assert allowed("https://intowork.test") == "https://intowork.test"
    assert allowed("https://elsewhere.test") is None
