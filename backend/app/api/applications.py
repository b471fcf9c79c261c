"""Applying for a job, and a candidate's own applications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from app.api.jobs import published
from app.auth import SignedInCandidate
from app.database import Database
from app.inputs import MAX_ID, StorableText
from app.models import Company, Job, JobApplication
from app.pages import DEFAULT_PAGE, MAX_PAGE, decode_cursor, encode_cursor

router = APIRouter(prefix="/api/applications", tags=["applications"])

ApplicationStatus = Literal["applied", "viewed", "shortlisted", "interview", "rejected", "accepted"]


class NewApplication(BaseModel):
    """What a candidate sends."""

    model_config = ConfigDict(extra="forbid")

    job_id: int = Field(ge=1, le=MAX_ID)
    cover_letter: StorableText | None = Field(None, max_length=20_000)
    cover_letter_url: StorableText | None = Field(None, max_length=2_000)
    cv_url: StorableText | None = Field(None, max_length=2_000)


class ApplicationMade(BaseModel):
    """The application as it was stored."""

    id: int
    job_id: int
    status: ApplicationStatus
    applied_at: datetime


class MyApplication(ApplicationMade):
    """One of the candidate's applications, with what it was for."""

    job_title: str
    company_name: str
    viewed_at: datetime | None


class ApplicationFilter(BaseModel):
    """Which of the candidate's applications, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    status: ApplicationStatus | None = None
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class ApplicationPage(BaseModel):
    """A page of applications; without `next_cursor` it is the last."""

    items: list[MyApplication]
    next_cursor: str | None


@router.post(
    "/apply",
    status_code=status.HTTP_201_CREATED,
    responses={
        404: {"description": "No published job has this id"},
        409: {"description": "There is an application for this job that is not rejected"},
    },
)
async def apply(new: NewApplication, candidate_id: SignedInCandidate, database: Database) -> ApplicationMade:
    """Apply for a published job. After a rejection, one may apply again."""
    # One statement: the job is published at the moment of the insert, and of many at once the unique index
    # lets one in.
    wanted = select(
        Job.id,
        literal(candidate_id),
        literal(new.cover_letter),
        literal(new.cover_letter_url),
        literal(new.cv_url),
    ).where(Job.id == new.job_id, published())
    columns = ["job_id", "candidate_id", "cover_letter", "cover_letter_url", "cv_url"]
    made = (
        await database.execute(
            insert(JobApplication)
            .from_select(columns, wanted)
            .on_conflict_do_nothing()
            .returning(JobApplication.id, JobApplication.status, JobApplication.applied_at)
        )
    ).one_or_none()
    if made is None:
        raise await _not_made(database, new.job_id)
    # After the insert, not before: the lock on a popular job's row is held as short as can be.
    await database.execute(
        update(Job)
        .where(Job.id == new.job_id)
        .values(applications_count=func.coalesce(Job.applications_count, 0) + 1, updated_at=Job.updated_at)
    )
    await database.commit()
    return ApplicationMade(id=made.id, job_id=new.job_id, status=made.status, applied_at=made.applied_at)


async def _not_made(database: Database, job_id: int) -> HTTPException:
    is_published = await database.scalar(select(Job.id).where(Job.id == job_id, published()))
    if is_published is None:
        return HTTPException(status.HTTP_404_NOT_FOUND, f"No published job has the id {job_id}.")
    return HTTPException(
        status.HTTP_409_CONFLICT,
        f"You have applied for job {job_id} already; after a rejection you may again.",
    )


@router.get("/my/applications")
async def my_applications(
    wanted: Annotated[ApplicationFilter, Query()], candidate_id: SignedInCandidate, database: Database
) -> ApplicationPage:
    """The signed-in candidate's applications, newest first."""
    statement = (
        select(
            JobApplication.id,
            JobApplication.job_id,
            JobApplication.status,
            JobApplication.applied_at,
            JobApplication.viewed_at,
            Job.title.label("job_title"),
            Company.name.label("company_name"),
        )
        .join(Job, JobApplication.job_id == Job.id)
        .join(Company, Job.company_id == Company.id)
        .where(JobApplication.candidate_id == candidate_id)
        .order_by(JobApplication.applied_at.desc(), JobApplication.id.desc())
        .limit(wanted.limit + 1)
    )
    if wanted.status is not None:
        statement = statement.where(JobApplication.status == wanted.status)
    if wanted.cursor is not None:
        statement = statement.where(
            tuple_(JobApplication.applied_at, JobApplication.id) < decode_cursor(wanted.cursor)
        )
    rows = (await database.execute(statement)).mappings().all()
    items = [MyApplication.model_validate(dict(row)) for row in rows[: wanted.limit]]
    more = len(rows) > wanted.limit
    return ApplicationPage(
        items=items, next_cursor=encode_cursor(items[-1].applied_at, items[-1].id) if more else None
    )
