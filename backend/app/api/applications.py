"""A candidate's own applications: to look at, and to take back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response, status
from pydantic import BaseModel, Field
from sqlalchemy import select, text

from app.answers import PageFilter, page_answer
from app.auth import SignedInCandidate
from app.database import Database
from app.fields import PathId
from app.models import JobApplication
from app.statuses import ApplicationStatus, JobStatus

router = APIRouter(prefix="/api/applications", tags=["applications"])


class ApplicationMade(BaseModel):
    """The application as it was stored."""

    id: int = Field(examples=[11])
    job_id: int = Field(examples=[7])
    status: ApplicationStatus
    applied_at: datetime


class MyApplication(ApplicationMade):
    """One of the candidate's applications, with what it was for."""

    job_title: str = Field(examples=["Data Engineer"])
    job_status: JobStatus = Field(description="Of a job that was deleted since: archived")
    company_name: str = Field(examples=["Atelier Nova"])
    viewed_at: datetime | None


class ApplicationFilter(PageFilter):
    """Which of the applications, and which page of them."""

    status: ApplicationStatus | None = None


class ApplicationPage(BaseModel):
    """A page of applications; without `next_cursor` it is the last."""

    items: list[MyApplication]
    next_cursor: str | None = Field(examples=["MjAyNi0wMS0wNlQwOTozMDowMCswMDowMHw3"])


# One text for all pages and filters; see app/api/jobs.py.
MINE = text("""
SELECT mine.id, mine.job_id, mine.status, mine.applied_at, mine.viewed_at, jobs.title AS job_title,
    jobs.status AS job_status, companies.name AS company_name
FROM job_applications AS mine
JOIN jobs ON jobs.id = mine.job_id
JOIN companies ON companies.id = jobs.company_id
WHERE mine.candidate_id = :candidate_id AND mine.deleted_at IS NULL
    AND (CAST(:status AS text) IS NULL OR mine.status = :status)
    AND (CAST(:after_at AS timestamptz) IS NULL OR (mine.applied_at, mine.id) < (:after_at, :after_id))
ORDER BY mine.applied_at DESC, mine.id DESC LIMIT :rows
""")

WITHDRAW = text("""
WITH withdrawn AS (
    UPDATE job_applications SET deleted_at = now(), updated_at = now()
    WHERE id = :application_id AND candidate_id = :candidate_id AND deleted_at IS NULL
        AND status NOT IN ('accepted', 'rejected')
    RETURNING job_id
), counted AS (
    UPDATE jobs SET applications_count = greatest(coalesce(jobs.applications_count, 0) - 1, 0)
    FROM withdrawn WHERE jobs.id = withdrawn.job_id
)
SELECT job_id FROM withdrawn
""")


@router.get(
    "/my/applications",
    response_model=ApplicationPage,
    responses={403: {"description": "Only for candidates"}},
)
async def my_applications(
    wanted: Annotated[ApplicationFilter, Query()], candidate_id: SignedInCandidate, database: Database
) -> Response:
    """The signed-in candidate's applications, newest first."""
    values = {"candidate_id": candidate_id, "status": wanted.status, **wanted.position()}
    rows = (await database.execute(MINE, values)).all()
    return page_answer(rows, wanted.limit, "applied_at")


@router.delete(
    "/{application_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={
        403: {"description": "Only for candidates"},
        404: {"description": "There is no such application of yours"},
        409: {"description": "It was accepted or rejected already"},
    },
)
async def withdraw(application_id: PathId, candidate_id: SignedInCandidate, database: Database) -> None:
    """Take an application back, as long as it is neither accepted nor rejected."""
    mine = {"application_id": application_id, "candidate_id": candidate_id}
    if (await database.execute(WITHDRAW, mine)).one_or_none() is None:
        now = await database.scalar(
            select(JobApplication.status).where(
                JobApplication.id == application_id,
                JobApplication.candidate_id == candidate_id,
                JobApplication.deleted_at.is_(None),
            )
        )
        if now is None:
            raise HTTPException(
                status.HTTP_404_NOT_FOUND, f"You have no application with the id {application_id}."
            )
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"Application {application_id} is {now}; it can not be withdrawn now."
        )
    await database.commit()
