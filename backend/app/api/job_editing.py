"""Writing a job, and its way from draft to published, closed and archived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, status
from sqlalchemy import func, insert, select, update

from app.api.job_details import RECORD_COLUMNS, JobRecord
from app.auth import EmployerProfile, SignedInEmployer
from app.changes import merged
from app.conditions import unexpired
from app.database import Database
from app.fields import PathId
from app.job_access import company_for_jobs, why_not
from app.job_bodies import DATES_IN_ORDER, SALARIES_IN_ORDER, JobChanges, NewJob
from app.models import Job

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

# How long a job is listed that was published without an end.
USUAL_DAYS = 60

RESPONSES: dict[int | str, dict[str, Any]] = {
    403: {"description": "Only for employers who may create jobs, and only for their company's jobs"},
    404: {"description": "There is no such job"},
    409: {"description": "The job is in a state where this cannot be done"},
}


@router.post("", status_code=status.HTTP_201_CREATED, responses={403: RESPONSES[403]})
async def create(new: NewJob, asking: SignedInEmployer, database: Database) -> JobRecord:
    """Write down a job of one's company, as a draft that only the company sees."""
    company_id = company_for_jobs(asking)
    statement = (
        insert(Job)
        .values(**new.model_dump(), employer_id=asking.employer_id, company_id=company_id)
        .returning(*RECORD_COLUMNS)
    )
    made = (await database.execute(statement)).mappings().one()
    await database.commit()
    return JobRecord.model_validate(dict(made))


@router.patch("/{job_id}", responses=RESPONSES)
async def change(
    job_id: PathId, changes: JobChanges, asking: SignedInEmployer, database: Database
) -> JobRecord:
    """Change a draft or a published job."""
    company_id = company_for_jobs(asking)
    mine = (Job.id == job_id, Job.company_id == company_id, Job.deleted_at.is_(None))
    # Locked, so that of two changes at once the second is checked against what the first has stored.
    stored = (
        await database.execute(
            select(Job.salary_min, Job.salary_max, Job.posted_at, Job.expires_at)
            .where(*mine, Job.status.in_(["draft", "published"]))
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if stored is None:
        raise await why_not(database, job_id, company_id, "changed", ("draft", "published"))
    values = merged(dict(stored._mapping), changes, SALARIES_IN_ORDER, DATES_IN_ORDER)
    statement = update(Job).where(Job.id == job_id).values(**values).returning(*RECORD_COLUMNS)
    changed = (await database.execute(statement)).mappings().one()
    await database.commit()
    return JobRecord.model_validate(dict(changed))


@router.post("/{job_id}/publish", responses=RESPONSES)
async def publish(job_id: PathId, asking: SignedInEmployer, database: Database) -> JobRecord:
    """Show a draft to everybody, until `expires_at` or for 60 days."""
    usual = func.now() + timedelta(days=USUAL_DAYS)
    return await _move(
        database,
        asking,
        job_id,
        "published",
        ("draft",),
        posted_at=func.now(),
        expires_at=func.coalesce(Job.expires_at, usual),
    )


@router.post("/{job_id}/close", responses=RESPONSES)
async def close(job_id: PathId, asking: SignedInEmployer, database: Database) -> JobRecord:
    """Take a published job off the list; its applications stay."""
    return await _move(database, asking, job_id, "closed", ("published",))


@router.delete("/{job_id}", status_code=status.HTTP_204_NO_CONTENT, responses=RESPONSES)
async def delete(job_id: PathId, asking: SignedInEmployer, database: Database) -> None:
    """Delete a job in any state. An administrator can bring it back."""
    await _move(
        database,
        asking,
        job_id,
        "archived",
        ("draft", "published", "closed", "archived"),
        deleted_at=func.now(),
    )


async def _move(
    database: Database, asking: EmployerProfile, job_id: int, to: str, sources: tuple[str, ...], **values: Any
) -> JobRecord:
    """Set the status in one statement: of many at once, one finds the job in a state to come from.

    Raises:
        HTTPException: 403, 404 or 409, by what is in the way.
    """
    company_id = company_for_jobs(asking)
    conditions = [
        Job.id == job_id,
        Job.company_id == company_id,
        Job.deleted_at.is_(None),
        Job.status.in_(sources),
    ]
    if to == "published":
        conditions.append(unexpired())
    moved = (
        (
            await database.execute(
                update(Job).where(*conditions).values(status=to, **values).returning(*RECORD_COLUMNS)
            )
        )
        .mappings()
        .one_or_none()
    )
    if moved is None:
        raise await why_not(database, job_id, company_id, to, sources)
    await database.commit()
    return JobRecord.model_validate(dict(moved))
