"""How PostgreSQL answers the routes' own statements on 20,000 jobs and 100,000 applications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Executable

from app.api import applications, applying, dashboard, jobs, notifications, reviewing
from app.api.job_details import OwnJobFilter, details_statement, own_jobs_statement
from app.pages import encode_cursor
from harness.cluster import Cluster, Database
from harness.migrations import module
from harness.plans import plan_of

JOBS, APPLICATIONS = 20_000, 100_000
# What grows with the product. Companies do too, but the list may look all of their 400 names up at once.
GROWING = {"jobs", "job_applications", "notifications", "users", "candidates"}


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template: Database) -> Iterator[Database]:
    """A database with sample data and fresh statistics."""
    made = cluster.create(template)
    sizes = ["--jobs", str(JOBS), "--applications", str(APPLICATIONS)]
    done = module("app.sample_data", *sizes, DATABASE_URL=made.url("app"))
    assert done.returncode == 0, done.stderr
    made.run("VACUUM ANALYZE")
    # As in production on an SSD, by the formulas of the bundle's role postgresql.
    made.run(f"ALTER DATABASE {made.name} SET random_page_cost = 1.1")
    yield made
    cluster.drop(made)


class Busy(NamedTuple):
    """Those with the most rows: for them an index is worth the most, and a page costs the most."""

    candidate: int
    employer: int
    job: int
    company: int
    user: int


@pytest.fixture(scope="module")
def busy(filled: Database) -> Busy:
    """The busiest of each kind."""
    by_count = "GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    return Busy(
        *(
            int(filled.rows(f"SELECT {column} FROM {table} {by_count}")[0][0])
            for column, table in (
                ("candidate_id", "job_applications"),
                ("employer_id", "jobs"),
                ("job_id", "job_applications"),
                ("company_id", "jobs"),
                ("user_id", "notifications"),
            )
        )
    )


def after(filled: Database, table: str, column: str, skip: int, condition: str) -> str:
    """The cursor of a page that begins so many rows deep."""
    ((at, row_id),) = filled.rows(
        f"SELECT {column}, id FROM {table} WHERE {condition} ORDER BY 1 DESC, 2 DESC OFFSET {skip} LIMIT 1"
    )
    assert isinstance(at, datetime)
    return encode_cursor(at, row_id)


SEARCHES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"idx_jobs_published_posted_at_id"}),
    "location type": ({"location_type": "remote"}, set()),
    "location type and place": ({"location_type": "hybrid", "location": "Lyon"}, set()),
    "location type and a rare place": (
        {"location_type": "hybrid", "location": "Zermatt"},
        {"idx_jobs_location_trigram"},
    ),
    "job type": ({"job_type": "internship"}, set()),
    "company": ({"company_id": "busy"}, {"idx_jobs_company_id_status"}),
    "common words": ({"search": "engineer"}, set()),
    "rare words": ({"search": '"head of" sommelier'}, {"idx_jobs_title_search"}),
    "salary": ({"salary_min": 60_000}, set()),
    "everything": (
        {
            "location_type": "remote",
            "job_type": "contract",
            "location": "Paris",
            "search": "engineer",
            "salary_min": 50_000,
        },
        set(),
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_reads_by_an_index(filled: Database, busy: Busy, name: str) -> None:
    wanted, expected = SEARCHES[name]
    given = {key: busy.company if value == "busy" else value for key, value in wanted.items()}
    plan = plan_of(filled, jobs.LIST, **jobs.list_values(jobs.JobFilter(**given)))
    assert plan.sequential & GROWING == set(), plan.text
    assert expected <= plan.indexes, plan.text


@pytest.mark.parametrize("wanted", [{}, {"location_type": "remote"}])
def test_a_page_deep_down_costs_what_the_first_one_costs(filled: Database, wanted: dict[str, Any]) -> None:
    """Counted in pages of the tables that are touched: time would depend on the machine."""
    first = plan_of(filled, jobs.LIST, **jobs.list_values(jobs.JobFilter(**wanted)))
    cursor = after(filled, "jobs", "posted_at", 12_000, "status = 'published'")
    deep = plan_of(filled, jobs.LIST, **jobs.list_values(jobs.JobFilter(**wanted, cursor=cursor)))
    assert deep.indexes >= {"idx_jobs_published_posted_at_id"}, deep.text
    assert (first.rows, deep.rows) == (21, 21)
    assert deep.pages < 1.5 * first.pages, (first.text, deep.text)


def test_expired_jobs_are_passed_by_without_losing_the_index(filled: Database, cluster: Cluster) -> None:
    copied = cluster.create(filled)
    soon = "posted_at + interval '1 minute'"
    copied.run(f"UPDATE jobs SET expires_at = {soon} WHERE id % 2 = 0", "ANALYZE jobs")
    plan = plan_of(copied, jobs.LIST, **jobs.list_values(jobs.JobFilter()))
    cluster.drop(copied)
    assert plan.indexes >= {"idx_jobs_published_posted_at_id"}, plan.text
    assert plan.rows == 21


Statement = tuple[Executable, dict[str, Any]]


def my_applications(filled: Database, busy: Busy, **wanted: Any) -> Statement:
    """The busiest candidate's applications."""
    page = applications.ApplicationFilter(**wanted)
    return applications.MINE, {"candidate_id": busy.candidate, "status": page.status, **page.position()}


def my_next_applications(filled: Database, busy: Busy) -> Statement:
    """A later page of them."""
    cursor = after(filled, "job_applications", "applied_at", 5, f"candidate_id = {busy.candidate}")
    return my_applications(filled, busy, cursor=cursor, limit=5)


def received(filled: Database, busy: Busy, **wanted: Any) -> Statement:
    """The applications for the job with the most of them."""
    return reviewing.received_statement(busy.job, reviewing.ReceivedFilter(**wanted)), {}


def my_jobs(filled: Database, busy: Busy, **wanted: Any) -> Statement:
    """The jobs of the employer with the most of them."""
    return own_jobs_statement(busy.employer, OwnJobFilter(**wanted)), {}


def told(filled: Database, busy: Busy, **wanted: Any) -> Statement:
    """The notifications of the user with the most of them."""
    return notifications.list_statement(busy.user, notifications.NotificationFilter(**wanted)), {}


OF_JOBS, OF_A_JOB = "idx_jobs_employer_id_status", "idx_job_applications_job_id_status"
# The one that has the order and the status in it.
OF_A_JOB_IN_TIME = "idx_job_applications_job_id_applied_at"
OF_A_CANDIDATE, OF_A_USER = "idx_job_applications_candidate_id_status", "idx_notifications_user_id_created_at"

STATEMENTS: dict[str, tuple[Callable[[Database, Busy], Statement], set[str]]] = {
    "my applications": (my_applications, set()),
    "my applications by status": (partial(my_applications, status="applied"), {OF_A_CANDIDATE}),
    "my applications, next page": (my_next_applications, set()),
    "received": (received, {OF_A_JOB_IN_TIME}),
    "received by status": (partial(received, status="interview"), {OF_A_JOB}),
    "my jobs": (my_jobs, {OF_JOBS}),
    "my drafts": (partial(my_jobs, status="draft"), {OF_JOBS}),
    "one job": (lambda _, busy: (details_statement(busy.job), {}), {"jobs_pkey"}),
    "dashboard": (
        lambda _, busy: (dashboard.DASHBOARD, {"employer_id": busy.employer}),
        {OF_JOBS, OF_A_JOB_IN_TIME},
    ),
    "breakdown": (
        lambda _, busy: (dashboard.BREAKDOWN, {"employer_id": busy.employer, "job_id": None}),
        {OF_JOBS, OF_A_JOB_IN_TIME},
    ),
    "breakdown of one job": (
        lambda _, busy: (dashboard.BREAKDOWN, {"employer_id": busy.employer, "job_id": busy.job}),
        {OF_A_JOB_IN_TIME},
    ),
    "notifications": (told, {OF_A_USER}),
    "unread notifications": (partial(told, unread=True), set()),
    "unread count": (lambda _, busy: (notifications.unread_statement(busy.user), {}), set()),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_hot_path_reads_by_an_index(filled: Database, busy: Busy, name: str) -> None:
    make, expected = STATEMENTS[name]
    statement, values = make(filled, busy)
    plan = plan_of(filled, statement, **values)
    assert plan.sequential & GROWING == set(), plan.text
    assert expected <= plan.indexes, plan.text


@pytest.mark.parametrize("name", ["dashboard", "breakdown", "breakdown of one job"])
def test_the_figures_of_an_employer_read_no_table_from_one_end_to_the_other(
    filled: Database, busy: Busy, name: str
) -> None:
    make, _ = STATEMENTS[name]
    statement, values = make(filled, busy)
    plan = plan_of(filled, statement, **values)
    assert plan.sequential == set(), plan.text


@pytest.mark.parametrize("status", ["applied", "rejected"])
def test_applying_looks_nothing_up_from_one_end_to_the_other(
    filled: Database, busy: Busy, status: str
) -> None:
    """Also when the candidate has applied before."""
    ((job, candidate),) = filled.rows(
        "SELECT job_id, candidate_id FROM job_applications JOIN jobs ON jobs.id = job_id"
        f" WHERE jobs.status = 'published' AND job_applications.status = '{status}' ORDER BY 1 LIMIT 1"
    )
    values = dict.fromkeys(("cover_letter", "cover_letter_url", "cv_url"))
    plan = plan_of(filled, applying.APPLY, job_id=job, candidate_id=candidate, **values)
    assert plan.sequential == set(), plan.text
    assert plan.rows == (0 if status == "applied" else 1)
