"""Applying for a job."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, text

from app.api.applications import ApplicationMade
from app.auth import SignedInCandidate
from app.conditions import published, unexpired
from app.database import Database
from app.fields import LongText, Whole
from app.inputs import MAX_ID, StorableText
from app.models import Job

router = APIRouter(prefix="/api/applications", tags=["applications"])


class NewApplication(BaseModel):
    """What a candidate sends."""

    model_config = ConfigDict(extra="forbid")

    job_id: Whole = Field(ge=1, le=MAX_ID, examples=[7])
    cover_letter: LongText | None = Field(None, examples=["I have kept data flowing for five years."])
    cover_letter_url: StorableText | None = Field(None, max_length=2_000)
    cv_url: StorableText | None = Field(None, max_length=2_000, examples=["/cv/1.pdf"])


# One statement, so that the lock on a popular job's row is held no longer than its commit takes. The job is
# published at the moment of the insert, and of many at once the unique index lets one in. That index knows
# nothing of deleted_at: an application that was withdrawn is found there, and becomes the new one.
APPLY = text("""
WITH job AS (
    SELECT jobs.id, jobs.title, employers.user_id
    FROM jobs JOIN employers ON employers.id = jobs.employer_id
    WHERE jobs.id = :job_id AND jobs.status = 'published'
        AND (jobs.expires_at IS NULL OR jobs.expires_at > now())
), made AS (
    INSERT INTO job_applications AS earlier (job_id, candidate_id, cover_letter, cover_letter_url, cv_url)
    SELECT job.id, :candidate_id, :cover_letter, :cover_letter_url, :cv_url FROM job
    ON CONFLICT (candidate_id, job_id) WHERE status <> 'rejected' DO UPDATE SET
        status = 'applied', applied_at = now(), viewed_at = NULL, updated_at = now(), deleted_at = NULL,
        cover_letter = excluded.cover_letter, cover_letter_url = excluded.cover_letter_url,
        cv_url = excluded.cv_url, notes = NULL
    WHERE earlier.deleted_at IS NOT NULL
    RETURNING id, job_id, status, applied_at
), counted AS (
    UPDATE jobs SET applications_count = coalesce(jobs.applications_count, 0) + 1
    FROM made WHERE jobs.id = made.job_id
), told AS (
    INSERT INTO notifications (user_id, type, title, message, related_job_id, related_application_id)
    SELECT job.user_id, 'new_application', 'New application',
        'A candidate has applied for ' || job.title || '.', job.id, made.id
    FROM made JOIN job ON job.id = made.job_id
)
SELECT id, job_id, status, applied_at FROM made
""")


@router.post(
    "/apply",
    status_code=status.HTTP_201_CREATED,
    responses={
        403: {"description": "Only for candidates"},
        404: {"description": "No published job has this id"},
        409: {"description": "There is an application for this job that is not rejected, or the job expired"},
    },
)
async def apply(new: NewApplication, candidate_id: SignedInCandidate, database: Database) -> ApplicationMade:
    """Apply for a published job. After a rejection, or after withdrawing, one may apply again."""
    values = {**new.model_dump(), "candidate_id": candidate_id}
    made = (await database.execute(APPLY, values)).mappings().one_or_none()
    if made is None:
        raise await _not_made(database, new.job_id)
    await database.commit()
    return ApplicationMade.model_validate(dict(made))


@router.api_route("/apply", methods=["GET", "DELETE"], include_in_schema=False)
async def not_an_application() -> None:
    """Else the routes of one application would say that this word is no id."""
    raise HTTPException(status.HTTP_405_METHOD_NOT_ALLOWED, "To apply, use POST.", headers={"Allow": "POST"})


async def _not_made(database: Database, job_id: int) -> HTTPException:
    statement = select(Job.expires_at, unexpired().label("unexpired")).where(Job.id == job_id, published())
    job = (await database.execute(statement)).one_or_none()
    if job is None:
        return HTTPException(status.HTTP_404_NOT_FOUND, f"No published job has the id {job_id}.")
    if not job.unexpired:
        return HTTPException(
            status.HTTP_409_CONFLICT,
            f"Job {job_id} expired on {job.expires_at:%Y-%m-%d}; it takes no more applications.",
        )
    return HTTPException(
        status.HTTP_409_CONFLICT,
        f"You have applied for job {job_id} already; after a rejection you may again.",
    )
