"""Which jobs an employer may work on, and what to say about the others."""

from __future__ import annotations

from fastapi import HTTPException, status
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import EmployerProfile
from app.conditions import unexpired
from app.models import Job


def company_of(asking: EmployerProfile) -> int:
    """The employer's company.

    Raises:
        HTTPException: 403 for one who has joined none.
    """
    if asking.company_id is None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You have not joined a company yet.")
    return asking.company_id


def company_for_jobs(asking: EmployerProfile) -> int:
    """The company whose jobs the employer may write; 403 for one who may not, or has none."""
    if not asking.can_create_jobs:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "You may not create or change jobs; your company's administrator can."
        )
    return company_of(asking)


def company_for_candidates(asking: EmployerProfile) -> int:
    """The company whose applications the employer may read; 403 for one who may not, or has none."""
    if not asking.can_manage_candidates:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "You may not manage candidates; your company's administrator can."
        )
    return company_of(asking)


async def why_not(
    database: AsyncSession, job_id: int, company_id: int, done: str, sources: tuple[str, ...]
) -> HTTPException:
    """Why a statement that needs a job of `company_id` in one of the states `sources` found none."""
    found = (
        await database.execute(
            select(Job.company_id, Job.status, unexpired().label("unexpired")).where(
                Job.id == job_id, Job.deleted_at.is_(None)
            )
        )
    ).one_or_none()
    if found is None or (found.company_id != company_id and found.status != "published"):
        return HTTPException(status.HTTP_404_NOT_FOUND, f"No job of your company has the id {job_id}.")
    if found.company_id != company_id:
        return HTTPException(status.HTTP_403_FORBIDDEN, f"Job {job_id} belongs to another company.")
    if found.status not in sources:
        return HTTPException(
            status.HTTP_409_CONFLICT,
            f"Job {job_id} is {found.status}; only one that is {' or '.join(sources)} can be {done}.",
        )
    if not found.unexpired:
        return HTTPException(
            status.HTTP_409_CONFLICT, f"The expires_at of job {job_id} has passed; set a later one first."
        )
    return HTTPException(status.HTTP_409_CONFLICT, f"Job {job_id} has just been changed; look again.")
