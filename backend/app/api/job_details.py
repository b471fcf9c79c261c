"""One job, and an employer's own ones in any state."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response, status
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.answers import AnySelect, PageFilter, page_answer, page_of
from app.auth import Person, SignedInEmployer, bearer, person
from app.conditions import unexpired
from app.database import Database
from app.fields import PathId
from app.models import Company, Job
from app.statuses import JobStatus, JobType, LocationType
from app.views import ViewCounter

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


class JobRecord(BaseModel):
    """A job with all that is written about it."""

    id: int = Field(examples=[7])
    company_id: int = Field(examples=[3])
    employer_id: int = Field(examples=[5])
    status: JobStatus
    title: str = Field(examples=["Data Engineer"])
    description: str = Field(examples=["You keep our data flowing."])
    requirements: str | None = Field(examples=["Three years of SQL"])
    responsibilities: str | None = Field(examples=["Pipelines, from planning to handover"])
    benefits: str | None = Field(examples=["Meal vouchers, health insurance"])
    location: str | None = Field(examples=["Lyon"])
    location_type: LocationType
    job_type: JobType
    salary_min: int | None = Field(examples=[45_000])
    salary_max: int | None = Field(examples=[52_000])
    currency: str | None = Field(examples=["EUR"])
    is_featured: bool | None
    views_count: int | None = Field(description="A few seconds behind", examples=[120])
    applications_count: int | None = Field(examples=[12])
    posted_at: datetime | None
    expires_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


class JobDetails(JobRecord):
    """A job with the name of its company."""

    company_name: str = Field(examples=["Atelier Nova"])


class OwnJob(BaseModel):
    """One of the employer's jobs, as their list shows it."""

    id: int = Field(examples=[7])
    title: str = Field(examples=["Data Engineer"])
    status: JobStatus
    location: str | None = Field(examples=["Lyon"])
    location_type: LocationType
    job_type: JobType
    views_count: int | None = Field(examples=[120])
    applications_count: int | None = Field(examples=[12])
    posted_at: datetime | None
    expires_at: datetime | None
    created_at: datetime


class OwnJobPage(BaseModel):
    """A page of own jobs; without `next_cursor` it is the last."""

    items: list[OwnJob]
    next_cursor: str | None = Field(examples=["MjAyNi0wMS0wNlQwOTozMDowMCswMDowMHw3"])


class OwnJobFilter(PageFilter):
    """Which of the employer's own jobs, and which page of them."""

    status: JobStatus | None = None


RECORD_COLUMNS = [getattr(Job, name) for name in JobRecord.model_fields]


async def anyone(
    request: Request,
    database: Database,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Person | None:
    """Who asks, or None without a token; 401 for a token that is no good."""
    return None if credentials is None else await person(request, database, credentials)


def own_jobs_statement(employer_id: int, wanted: OwnJobFilter) -> AnySelect:
    """The statement of one page of an employer's jobs."""
    owned = select(*(getattr(Job, name) for name in OwnJob.model_fields)).where(
        Job.employer_id == employer_id, Job.deleted_at.is_(None)
    )
    if wanted.status is not None:
        owned = owned.where(Job.status == wanted.status)
    # First the employer's, then the newest of them. The planner would rather go through everybody's jobs by
    # age until it has a page of this employer's: all of the table for one who has posted nothing lately.
    mine = owned.cte("mine").prefix_with("MATERIALIZED")
    return page_of(select(mine), mine.c.created_at, mine.c.id, wanted)


@router.get("/mine", response_model=OwnJobPage, responses={403: {"description": "Only for employers"}})
async def my_jobs(
    wanted: Annotated[OwnJobFilter, Query()], asking: SignedInEmployer, database: Database
) -> Response:
    """The signed-in employer's jobs, those made last first."""
    rows = (await database.execute(own_jobs_statement(asking.employer_id, wanted))).all()
    return page_answer(rows, wanted.limit, "created_at")


@router.api_route("/mine", methods=["PATCH", "DELETE"], include_in_schema=False)
async def not_a_job() -> None:
    """Else the routes of one job would say that this word is no id."""
    raise HTTPException(
        status.HTTP_405_METHOD_NOT_ALLOWED,
        "The list of your jobs can only be read.",
        headers={"Allow": "GET"},
    )


def details_statement(job_id: int) -> AnySelect:
    """The statement of one job."""
    return (
        select(*RECORD_COLUMNS, Company.name.label("company_name"), unexpired().label("unexpired"))
        .join(Company, Job.company_id == Company.id)
        .where(Job.id == job_id, Job.deleted_at.is_(None))
    )


@router.get("/{job_id}", responses={404: {"description": "There is no such job, or it is not for everybody"}})
async def job(
    job_id: PathId, request: Request, asking: Annotated[Person | None, Depends(anyone)], database: Database
) -> JobDetails:
    """A published job; for an employer of its company, in any state."""
    found = (await database.execute(details_statement(job_id))).one_or_none()
    own = (
        found is not None
        and asking is not None
        and asking.employer is not None
        and asking.employer.company_id == found.company_id
    )
    if found is None or not (own or (found.status == "published" and found.unexpired)):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No published job has the id {job_id}.")
    if not own:
        views: ViewCounter = request.app.state.views
        views.count(job_id)
    return JobDetails.model_validate(dict(found._mapping))
