"""The list of published jobs: filters, pages, bad input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from harness.rows import Rows

NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)


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


def test_listed_origins_may_call_from_a_browser_and_others_not(api: httpx.Client) -> None:
    def allowed(origin: str) -> str | None:
        return api.get("/api/jobs", headers={"Origin": origin}).headers.get("access-control-allow-origin")

    assert allowed("https://intowork.test") == "https://intowork.test"
    assert allowed("https://elsewhere.test") is None
