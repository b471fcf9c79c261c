"""What employers do with applications for their company's jobs: list and read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response, status
from pydantic import BaseModel, Field
from sqlalchemy import func, select, update

from app.answers import AnySelect, PageFilter, page_answer, page_of
from app.api.applications import ApplicationMade
from app.auth import SignedInEmployer
from app.database import Database
from app.fields import PathId
from app.job_access import company_for_candidates
from app.models import Candidate, Job, JobApplication, User
from app.statuses import NEXT_STATUSES, ApplicationStatus

router = APIRouter(prefix="/api", tags=["reviewing"])

RESPONSES: dict[int | str, dict[str, Any]] = {
    403: {"description": "Only for employers who may manage candidates"},
    404: {"description": "There is no such application for a job of your company"},
}


class ReceivedApplication(ApplicationMade):
    """An application as the employer's list shows it."""

    candidate_id: int = Field(examples=[5])
    candidate_name: str = Field(examples=["Ada Byron"])
    candidate_title: str | None = Field(examples=["Data Engineer"])
    viewed_at: datetime | None


class ReceivedPage(BaseModel):
    """A page of received applications; without `next_cursor` it is the last."""

    items: list[ReceivedApplication]
    next_cursor: str | None = Field(examples=["MjAyNi0wMS0wNlQwOTozMDowMCswMDowMHw3"])


class ReceivedFilter(PageFilter):
    """Which of the applications, and which page of them."""

    status: ApplicationStatus | None = None


class ApplicationDetails(ReceivedApplication):
    """An application with all that the candidate sent, and how to reach them."""

    job_title: str = Field(examples=["Data Engineer"])
    candidate_email: str = Field(examples=["ada.byron@example.com"])
    candidate_phone: str | None = Field(examples=["+33 6 12 34 56 78"])
    candidate_location: str | None = Field(examples=["Lyon"])
    cover_letter: str | None = Field(examples=["I would like to work with you."])
    cover_letter_url: str | None = Field(examples=["https://files.example.com/letter.pdf"])
    cv_url: str | None = Field(examples=["https://files.example.com/cv.pdf"])
    notes: str | None = Field(
        description="The employer's own; candidates do not see them", examples=["Call on Monday"]
    )
    next_statuses: list[ApplicationStatus] = Field(description="Where it may go from here")


_NAME = (User.first_name + " " + User.last_name).label("candidate_name")
_LISTED = (
    JobApplication.id,
    JobApplication.job_id,
    JobApplication.status,
    JobApplication.applied_at,
    JobApplication.viewed_at,
    JobApplication.candidate_id,
    _NAME,
    Candidate.title.label("candidate_title"),
)


def received_statement(job_id: int, wanted: ReceivedFilter) -> AnySelect:
    """The statement of one page of a job's applications."""
    statement = (
        select(*_LISTED)
        .join(Candidate, Candidate.id == JobApplication.candidate_id)
        .join(User, User.id == Candidate.user_id)
        .where(
            JobApplication.job_id == job_id, JobApplication.deleted_at.is_(None), User.deleted_at.is_(None)
        )
    )
    if wanted.status is not None:
        statement = statement.where(JobApplication.status == wanted.status)
    return page_of(statement, JobApplication.applied_at, JobApplication.id, wanted)


@router.get(
    "/jobs/{job_id}/applications",
    response_model=ReceivedPage,
    responses={403: RESPONSES[403], 404: {"description": "Your company has no such job"}},
)
async def received(
    job_id: PathId,
    wanted: Annotated[ReceivedFilter, Query()],
    asking: SignedInEmployer,
    database: Database,
) -> Response:
    """The applications for a job of one's company, newest first."""
    company_id = company_for_candidates(asking)
    ours = select(Job.id).where(Job.id == job_id, Job.company_id == company_id, Job.deleted_at.is_(None))
    if await database.scalar(ours) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No job of your company has the id {job_id}.")
    rows = (await database.execute(received_statement(job_id, wanted))).all()
    return page_answer(rows, wanted.limit, "applied_at")


def _of_company(application_id: int, company_id: int) -> tuple[Any, ...]:
    return (
        JobApplication.id == application_id,
        JobApplication.deleted_at.is_(None),
        JobApplication.job_id == Job.id,
        Job.company_id == company_id,
        Job.deleted_at.is_(None),
    )


@router.get("/applications/{application_id}", responses=RESPONSES)
async def application(
    application_id: PathId, asking: SignedInEmployer, database: Database
) -> ApplicationDetails:
    """One application. The first employer who reads it makes an applied one viewed."""
    company_id = company_for_candidates(asking)
    ours = _of_company(application_id, company_id)
    seen = await database.execute(
        update(JobApplication)
        .where(*ours, JobApplication.status == "applied")
        .values(status="viewed", viewed_at=func.now())
        .returning(JobApplication.id)
    )
    changed = seen.one_or_none() is not None
    statement = (
        select(
            *_LISTED,
            Job.title.label("job_title"),
            User.email.label("candidate_email"),
            Candidate.phone.label("candidate_phone"),
            Candidate.location.label("candidate_location"),
            JobApplication.cover_letter,
            JobApplication.cover_letter_url,
            JobApplication.cv_url,
            JobApplication.notes,
        )
        .join(Job, JobApplication.job_id == Job.id)
        .join(Candidate, Candidate.id == JobApplication.candidate_id)
        .join(User, User.id == Candidate.user_id)
        .where(*ours, User.deleted_at.is_(None))
    )
    found = (await database.execute(statement)).mappings().one_or_none()
    if found is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"No application for a job of your company has the id {application_id}.",
        )
    if changed:
        await database.commit()
    return ApplicationDetails.model_validate({**found, "next_statuses": NEXT_STATUSES[found["status"]]})
