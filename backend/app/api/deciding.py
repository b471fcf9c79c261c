"""Decisions on applications: from one status to the next, and the candidate is told."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, text

from app.api.applications import ApplicationMade
from app.auth import SignedInEmployer
from app.database import Database
from app.fields import LongText, PathId
from app.job_access import company_for_candidates
from app.models import Candidate, Job, JobApplication
from app.statuses import NEXT_STATUSES, ApplicationStatus

router = APIRouter(prefix="/api/applications", tags=["reviewing"])


class Decision(BaseModel):
    """Where an application goes."""

    model_config = ConfigDict(extra="forbid")

    status: ApplicationStatus = Field(examples=["shortlisted"])
    notes: LongText | None = Field(
        None,
        description="Take the place of the ones before; left out, those stay",
        examples=["Call on Monday"],
    )


class Decided(ApplicationMade):
    """The application after the decision."""

    viewed_at: datetime | None
    notes: str | None = Field(examples=["Call on Monday"])
    next_statuses: list[ApplicationStatus] = Field(description="Where it may go from here")


# Only from the status that the decision was checked against: of two employers at once, one finds it changed.
DECIDE = text("""
WITH decided AS (
    UPDATE job_applications SET status = :to_status, viewed_at = coalesce(viewed_at, now()),
        notes = CASE WHEN :new_notes THEN :notes ELSE notes END, updated_at = now()
    WHERE id = :application_id AND status = :seen AND deleted_at IS NULL
    RETURNING id, job_id, status, applied_at, viewed_at, notes
), told AS (
    INSERT INTO notifications (user_id, type, title, message, related_job_id, related_application_id)
    SELECT :user_id, 'status_change', 'News of your application', :message, job_id, id FROM decided
)
SELECT * FROM decided
""")


@router.patch(
    "/{application_id}/status",
    responses={
        403: {"description": "Only for employers who may manage candidates"},
        404: {"description": "There is no such application for a job of your company"},
        409: {"description": "It cannot go there from where it is"},
    },
)
async def decide(
    application_id: PathId, decision: Decision, asking: SignedInEmployer, database: Database
) -> Decided:
    """Move an application on: viewed, shortlisted, interview, accepted; from any but the last, rejected."""
    company_id = company_for_candidates(asking)
    statement = (
        select(JobApplication.status, Job.title, Candidate.user_id)
        .join(Job, JobApplication.job_id == Job.id)
        .join(Candidate, Candidate.id == JobApplication.candidate_id)
        .where(
            JobApplication.id == application_id,
            JobApplication.deleted_at.is_(None),
            Job.company_id == company_id,
            Job.deleted_at.is_(None),
        )
    )
    seen = (await database.execute(statement)).one_or_none()
    if seen is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"No application for a job of your company has the id {application_id}.",
        )
    if decision.status not in NEXT_STATUSES[seen.status]:
        raise HTTPException(status.HTTP_409_CONFLICT, _refusal(application_id, seen.status))
    values = {
        "application_id": application_id,
        "seen": seen.status,
        "to_status": decision.status,
        "new_notes": "notes" in decision.model_fields_set,
        "notes": decision.notes,
        "user_id": seen.user_id,
        "message": f"Your application for {seen.title} is now: {decision.status}.",
    }
    decided = (await database.execute(DECIDE, values)).mappings().one_or_none()
    if decided is None:
        now = await database.scalar(
            select(JobApplication.status).where(
                JobApplication.id == application_id, JobApplication.deleted_at.is_(None)
            )
        )
        raise HTTPException(
            status.HTTP_409_CONFLICT,
            f"Somebody else was first. {_refusal(application_id, now)}"
            if now is not None
            else f"Application {application_id} has just been withdrawn.",
        )
    await database.commit()
    return Decided.model_validate({**decided, "next_statuses": NEXT_STATUSES[decision.status]})


def _refusal(application_id: int, now: str) -> str:
    following = " or ".join(NEXT_STATUSES[now])
    if not following:
        return f"Application {application_id} is {now}, which is final."
    return f"Application {application_id} is {now}; from there it can go to {following}."
