"""An employer's figures: right, and each answer from one statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from harness.asking import application
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person, Rows
from harness.server import Server
from harness.wait import until

DASHBOARD = "/api/dashboard"
BREAKDOWN = "/api/dashboard/status-breakdown"
STATISTICS = "/api/dashboard/statistics"
NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)
NOTHING = dict.fromkeys(("applied", "viewed", "shortlisted", "interview", "rejected", "accepted"), 0)


@pytest.fixture
def me(rows: Rows) -> Person:
    """An employer with a company."""
    return rows.employer(rows.company())


@pytest.fixture
def job(rows: Rows, me: Person) -> Callable[..., int]:
    """Makes jobs of this employer."""

    def make(**values: Any) -> int:
        return rows.job(rows.company(), employer_id=me.profile_id, **values)

    return make


def test_a_new_employer_has_a_dashboard_of_zeros(api: httpx.Client, me: Person) -> None:
    answer = api.get(DASHBOARD, headers=me.headers)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "jobs": {"draft": 0, "published": 0, "closed": 0, "archived": 0},
            "views": 0,
            "applications_total": 0,
            "applications": NOTHING,
            "newest_applications": [],
        },
    )


def test_the_dashboard_counts_each_row_once(
    api: httpx.Client, rows: Rows, me: Person, job: Callable[..., int]
) -> None:
    """More jobs, applications and views than one of each: a join of the three would multiply them."""
    published = [job(title=f"Nurse {n}", views_count=10) for n in range(3)]
    job(status="draft", views_count=5)
    deleted = job(status="archived", deleted_at=NOW, views_count=1_000)
    people = [rows.candidate() for _ in range(4)]
    made = [
        application(rows, at, person, applied_at=NOW + timedelta(hours=hour), status=status)
        for hour, (at, person, status) in enumerate(
            [
                (published[0], people[0], "applied"),
                (published[0], people[1], "rejected"),
                (published[0], people[1], "applied"),
                (published[1], people[2], "viewed"),
                (published[1], people[3], "applied"),
                (published[2], people[3], "accepted"),
            ]
        )
    ]
    application(rows, published[2], people[0], deleted_at=NOW)
    application(rows, deleted, people[0])
    application(rows, rows.job(), people[0])
    found = api.get(DASHBOARD, headers=me.headers).json()
    newest = found.pop("newest_applications")
    assert found == {
        "jobs": {"draft": 1, "published": 3, "closed": 0, "archived": 0},
        "views": 35,
        "applications_total": 6,
        "applications": {**NOTHING, "applied": 3, "rejected": 1, "viewed": 1, "accepted": 1},
    }
    assert [item["id"] for item in newest] == made[:0:-1]
    assert (newest[0]["job_title"], newest[0]["candidate_name"]) == ("Nurse 2", "Ada Byron")
    assert newest[0]["applied_at"] == "2026-01-06T14:30:00Z"


def test_the_breakdown_is_of_all_jobs_or_of_one(
    api: httpx.Client, rows: Rows, me: Person, job: Callable[..., int]
) -> None:
    first, second = job(), job()
    for at, status in ((first, "applied"), (first, "viewed"), (second, "viewed")):
        application(rows, at, rows.candidate(), status=status)
    everything = api.get(BREAKDOWN, headers=me.headers).json()
    assert everything == {"total": 3, "by_status": {**NOTHING, "applied": 1, "viewed": 2}}
    one = api.get(BREAKDOWN, params={"job_id": second}, headers=me.headers).json()
    assert one == {"total": 1, "by_status": {**NOTHING, "viewed": 1}}


@pytest.mark.parametrize("whose", ["another's", "deleted", "nobody's"])
def test_the_breakdown_of_a_job_that_is_not_mine_is_not_found(
    api: httpx.Client, rows: Rows, me: Person, job: Callable[..., int], whose: str
) -> None:
    asked = {
        "another's": rows.job(),
        "deleted": job(status="archived", deleted_at=NOW),
        "nobody's": 2**31 - 1,
    }
    answer = api.get(BREAKDOWN, params={"job_id": asked[whose]}, headers=me.headers)
    assert (answer.status_code, f"no job with the id {asked[whose]}" in answer.text) == (404, True)


def test_statistics_are_as_old_as_they_say(
    api: httpx.Client, rows: Rows, me: Person, job: Callable[..., int], api_database: Database
) -> None:
    assert api.get(STATISTICS, headers=me.headers).json()["refreshed_at"] is None
    application(rows, job(views_count=7), rows.candidate(), status="shortlisted", applied_at=NOW)
    with api_database.connect("app") as app:
        app.execute("SELECT refresh_employer_job_statistics()")
    counted = api.get(STATISTICS, headers=me.headers).json()
    application(rows, job(), rows.candidate())
    assert api.get(STATISTICS, headers=me.headers).json() == counted
    ((refreshed,),) = api_database.rows("SELECT max(refreshed_at) FROM employer_job_statistics")
    assert datetime.fromisoformat(counted.pop("refreshed_at")) == refreshed
    assert counted == {
        "jobs": 1,
        "published_jobs": 1,
        "views": 7,
        "applications": 1,
        "shortlisted": 1,
        "accepted": 0,
        "rejected": 0,
        "last_applied_at": "2026-01-06T09:30:00Z",
    }


@pytest.mark.parametrize("path", [DASHBOARD, BREAKDOWN, STATISTICS])
def test_figures_are_for_employers(api: httpx.Client, rows: Rows, path: str) -> None:
    assert api.get(path).status_code == 401
    assert api.get(path, headers=rows.candidate().headers).status_code == 403


@pytest.mark.parametrize("wanted", [{"job_id": "0"}, {"job_id": "all"}, {"job": "1"}])
def test_a_bad_filter_of_the_breakdown_is_refused(
    api: httpx.Client, me: Person, wanted: dict[str, str]
) -> None:
    assert api.get(BREAKDOWN, params=wanted, headers=me.headers).status_code == 422


def nobody_works(database: Database) -> bool:
    """Whether no connection of the app is in a transaction."""
    ((working,),) = database.rows(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = %s AND state <> 'idle'",
        database.cluster.role("app"),
    )
    return bool(working == 0)


@pytest.mark.parametrize(
    ("path", "reads"),
    [
        (DASHBOARD, "job_applications"),
        (BREAKDOWN, "job_applications"),
        (STATISTICS, "employer_job_statistics"),
        ("/api/jobs", "jobs"),
    ],
)
def test_each_answer_comes_from_one_statement(
    database: Database, pooler: Pooler, start_server: Callable[..., Server], path: str, reads: str
) -> None:
    """As PostgreSQL counted them: who asks, the limit, and one for the figures, however many there are."""
    with database.connect("app") as connection:
        rows = Rows(connection)
        company = rows.company()
        me = rows.employer(company)
        for _ in range(3):
            job = rows.job(company, employer_id=me.profile_id)
            for _ in range(3):
                application(rows, job, rows.candidate())
    server = start_server(database.url("app", pooler.host, pooler.port), VIEWS_FLUSH_SECONDS="3600")
    # Asked once before: what a connection asks when it is new is no part of a request.
    for reset in (True, False):
        server.get(path, headers=me.headers).raise_for_status()
        # A statement is counted when its transaction ends, which is after the answer.
        until(lambda: nobody_works(database), "all transactions have ended")
        if reset:
            database.rows("SELECT pg_stat_statements_reset()")
    ran = database.rows(
        "SELECT query, calls FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND rolname = %s",
        database.cluster.role("app"),
    )
    work = [
        (query, calls)
        for query, calls in ran
        if not query.startswith(("BEGIN", "COMMIT", "ROLLBACK", "DISCARD", "SET")) and query != "SELECT $1"
    ]
    # Besides the figures: who asks, where that matters, and the route's limit.
    others = [(query, calls) for query, calls in work if "set_config" in query]
    figures = [(query, calls) for query, calls in work if "set_config" not in query]
    assert [calls for query, calls in figures if reads in query] == [1], work
    assert len(figures) == 1, work
    assert [calls for _, calls in others] == ([1] if path == "/api/jobs" else [1, 1]), work
