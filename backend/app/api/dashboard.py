"""An employer's jobs and applications in figures, each answer from one statement."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from app.auth import SignedInEmployer
from app.inputs import MAX_ID
from app.limits import DashboardDatabase
from app.statuses import ApplicationStatus

router = APIRouter(prefix="/api/dashboard", tags=["dashboard"])

ONLY_EMPLOYERS: dict[int | str, dict[str, Any]] = {403: {"description": "Only for employers"}}


class JobCounts(BaseModel):
    """Jobs by status; deleted ones do not count."""

    draft: int = Field(0, examples=[2])
    published: int = Field(0, examples=[5])
    closed: int = Field(0, examples=[3])
    archived: int = Field(0, examples=[1])


class ApplicationCounts(BaseModel):
    """Applications by status; withdrawn ones do not count."""

    applied: int = Field(0, examples=[6])
    viewed: int = Field(0, examples=[2])
    shortlisted: int = Field(0, examples=[2])
    interview: int = Field(0, examples=[1])
    rejected: int = Field(0, examples=[1])
    accepted: int = Field(0, examples=[0])


class NewestApplication(BaseModel):
    """An application, with whose it is and what it is for."""

    id: int = Field(examples=[11])
    job_id: int = Field(examples=[7])
    job_title: str = Field(examples=["Data Engineer"])
    candidate_name: str = Field(examples=["Ada Byron"])
    status: ApplicationStatus
    applied_at: datetime


class Dashboard(BaseModel):
    """What an employer sees first."""

    jobs: JobCounts
    views: int = Field(examples=[120])
    applications_total: int = Field(examples=[12])
    applications: ApplicationCounts
    newest_applications: list[NewestApplication] = Field(description="The last five")


class BreakdownFilter(BaseModel):
    """Whose applications are counted."""

    model_config = ConfigDict(extra="forbid")

    job_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="One of the employer's jobs; without it, all"
    )


class Breakdown(BaseModel):
    """Applications by status."""

    total: int = Field(examples=[12])
    by_status: ApplicationCounts


class Statistics(BaseModel):
    """Figures of the employer's jobs as they were when they were last counted for all employers."""

    jobs: int = Field(0, examples=[11])
    published_jobs: int = Field(0, examples=[5])
    views: int = Field(0, examples=[120])
    applications: int = Field(0, examples=[12])
    shortlisted: int = Field(0, examples=[2])
    accepted: int = Field(0, examples=[0])
    rejected: int = Field(0, examples=[1])
    last_applied_at: datetime | None = None
    refreshed_at: datetime | None = Field(None, description="None when they were not counted yet")


# Subqueries side by side, not a join of what has nothing to do with each other: that would count each job
# once for every application. The two lists are read once, however many figures come from them.
# OFFSET 0 keeps the planner to going from job to job, through the index: for an employer with some share of
# the table it would rather read all of it, and then this page costs what everybody's applications do.
DASHBOARD = text("""
WITH my_jobs AS MATERIALIZED (
    SELECT id, title, status, views_count FROM jobs WHERE employer_id = :employer_id AND deleted_at IS NULL
), received AS MATERIALIZED (
    SELECT one.id, one.job_id, my_jobs.title, one.candidate_id, one.status, one.applied_at
    FROM my_jobs CROSS JOIN LATERAL (
        SELECT * FROM job_applications AS a WHERE a.job_id = my_jobs.id AND a.deleted_at IS NULL OFFSET 0
    ) AS one
), five AS MATERIALIZED (
    SELECT * FROM received ORDER BY applied_at DESC, id DESC LIMIT 5
), newest AS (
    SELECT five.id, five.job_id, five.title AS job_title, five.status, five.applied_at,
        users.first_name || ' ' || users.last_name AS candidate_name
    FROM five JOIN candidates ON candidates.id = five.candidate_id
    JOIN users ON users.id = candidates.user_id AND users.deleted_at IS NULL
)
SELECT
    (SELECT coalesce(json_object_agg(status, n), '{}')
        FROM (SELECT status, count(*) AS n FROM my_jobs GROUP BY status) AS counted) AS jobs,
    (SELECT coalesce(sum(views_count), 0) FROM my_jobs) AS views,
    (SELECT count(*) FROM received) AS applications_total,
    (SELECT coalesce(json_object_agg(status, n), '{}')
        FROM (SELECT status, count(*) AS n FROM received GROUP BY status) AS counted) AS applications,
    (SELECT coalesce(json_agg(newest ORDER BY applied_at DESC, id DESC), '[]') FROM newest)
        AS newest_applications
""")

BREAKDOWN = text("""
WITH my_jobs AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE employer_id = :employer_id AND deleted_at IS NULL
        AND (CAST(:job_id AS integer) IS NULL OR id = CAST(:job_id AS integer))
), counted AS (
    SELECT one.status, count(*) AS n
    FROM my_jobs CROSS JOIN LATERAL (
        SELECT a.status FROM job_applications AS a
        WHERE a.job_id = my_jobs.id AND a.deleted_at IS NULL OFFSET 0
    ) AS one
    GROUP BY one.status
)
SELECT
    (SELECT count(*) FROM my_jobs) AS jobs,
    (SELECT coalesce(sum(n), 0) FROM counted) AS total,
    (SELECT coalesce(json_object_agg(status, n), '{}') FROM counted) AS by_status
""")

STATISTICS = text("SELECT * FROM employer_job_statistics WHERE employer_id = :employer_id")


@router.get("", responses=ONLY_EMPLOYERS)
async def dashboard(asking: SignedInEmployer, database: DashboardDatabase) -> Dashboard:
    """The employer's jobs and applications, as they are now."""
    found = (await database.execute(DASHBOARD, {"employer_id": asking.employer_id})).mappings().one()
    return Dashboard.model_validate(dict(found))


@router.get(
    "/status-breakdown",
    responses={**ONLY_EMPLOYERS, 404: {"description": "job_id is none of the employer's jobs"}},
)
async def status_breakdown(
    wanted: Annotated[BreakdownFilter, Query()], asking: SignedInEmployer, database: DashboardDatabase
) -> Breakdown:
    """Applications for the employer's jobs, or for one of them, by status."""
    values = {"employer_id": asking.employer_id, "job_id": wanted.job_id}
    found = (await database.execute(BREAKDOWN, values)).mappings().one()
    if wanted.job_id is not None and not found["jobs"]:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"You have no job with the id {wanted.job_id}.")
    return Breakdown.model_validate(dict(found))


@router.get("/statistics", responses=ONLY_EMPLOYERS)
async def statistics(asking: SignedInEmployer, database: DashboardDatabase) -> Statistics:
    """Figures counted ahead, and when: quick however many applications there are."""
    found = (await database.execute(STATISTICS, {"employer_id": asking.employer_id})).mappings().one_or_none()
    return Statistics() if found is None else Statistics.model_validate(dict(found))
