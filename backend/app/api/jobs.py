"""Published jobs, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, func, literal_column, select, tuple_

from app.database import Database
from app.inputs import MAX_ID, StorableText
from app.models import Company, Job
from app.pages import DEFAULT_PAGE, MAX_PAGE, decode_cursor, encode_cursor

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

LocationType = Literal["on_site", "remote", "hybrid"]
JobType = Literal["full_time", "part_time", "contract", "temporary", "internship"]


class JobFilter(BaseModel):
    """What a list of jobs may be narrowed by, and which page of it."""

    model_config = ConfigDict(extra="forbid")

    location_type: LocationType | None = None
    job_type: JobType | None = None
    location: StorableText | None = Field(None, min_length=1, max_length=200, description="Part of the place")
    company_id: int | None = Field(None, ge=1, le=MAX_ID)
    search: StorableText | None = Field(None, min_length=1, max_length=200, description="Words of the title")
    salary_min: int | None = Field(
        None, ge=0, le=MAX_ID, description="Jobs that pay at least this; those without a salary are left out"
    )
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")


class JobSummary(BaseModel):
    """A job as the list shows it."""

    id: int
    title: str
    company_id: int
    company_name: str
    location: str | None
    location_type: LocationType
    job_type: JobType
    salary_min: int | None
    salary_max: int | None
    currency: str | None
    is_featured: bool | None
    applications_count: int | None
    posted_at: datetime
    expires_at: datetime | None


class JobPage(BaseModel):
    """A page of jobs; without `next_cursor` it is the last."""

    items: list[JobSummary]
    next_cursor: str | None


def published() -> ColumnElement[bool]:
    """Only published jobs. A literal, not a parameter: the partial indexes hold for this word alone."""
    return Job.status == literal_column("'published'")


def _narrowed(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions = [published()]
    if wanted.location_type is not None:
        conditions.append(Job.location_type == wanted.location_type)
    if wanted.job_type is not None:
        conditions.append(Job.job_type == wanted.job_type)
    if wanted.location is not None:
        conditions.append(Job.location.icontains(wanted.location, autoescape=True))
    if wanted.company_id is not None:
        conditions.append(Job.company_id == wanted.company_id)
    if wanted.search is not None:
        # The expression of idx_jobs_title_search, to the letter: another one would not use it.
        english: ColumnElement[str] = literal_column("'english'::regconfig")
        vector = func.to_tsvector(english, Job.title)
        conditions.append(vector.bool_op("@@")(func.websearch_to_tsquery(english, wanted.search)))
    if wanted.salary_min is not None:
        conditions.append(func.coalesce(Job.salary_max, Job.salary_min) >= wanted.salary_min)
    if wanted.cursor is not None:
        conditions.append(tuple_(Job.posted_at, Job.id) < decode_cursor(wanted.cursor))
    return conditions


def list_statement(wanted: JobFilter) -> Select[Job, str]:
    """The statement of one page, with one row more than asked for, to see whether there is another page."""
    return (
        select(Job, Company.name)
        .join(Company, Job.company_id == Company.id)
        .where(*_narrowed(wanted))
        .order_by(Job.posted_at.desc(), Job.id.desc())
        .limit(wanted.limit + 1)
    )


@router.get("")
async def list_jobs(wanted: Annotated[JobFilter, Query()], database: Database) -> JobPage:
    """Published jobs that match all given filters, newest first."""
    rows = (await database.execute(list_statement(wanted))).all()
    items = [
        JobSummary.model_validate(
            {**{name: getattr(job, name) for name in _JOB_FIELDS}, "company_name": company}
        )
        for job, company in rows[: wanted.limit]
    ]
    more = len(rows) > wanted.limit
    return JobPage(
        items=items, next_cursor=encode_cursor(items[-1].posted_at, items[-1].id) if more else None
    )


_JOB_FIELDS = [name for name in JobSummary.model_fields if name != "company_name"]
