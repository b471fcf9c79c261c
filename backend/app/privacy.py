"""Forgetting a person.

The rows of a candidate, or of a user without a profile, are deleted. An employer's user is emptied and stays:
the company's jobs, and other people's applications for them, hang on it. What is left in backups goes when
these expire.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.addresses import same
from app.models import (
    Account,
    ArchivedNotification,
    Candidate,
    Employer,
    Job,
    JobApplication,
    Notification,
    PasswordResetToken,
    Session,
    User,
    VerificationToken,
)

PURGED = "Purged"


def purged_address(user_id: int) -> str:
    """What stands in the place of an address; .invalid is no domain, ever (RFC 2606)."""
    return f"purged-{user_id}@invalid.example"


async def purge(database: AsyncSession, user_id: int, actor_id: int | None) -> bool:
    """Remove what is stored about the user; False when there is no such user. The caller commits.

    Args:
        database: a session; all happens in its transaction.
        user_id: whom to forget.
        actor_id: who does it, for the trail of changes; None for an operator.
    """
    await database.execute(select(func.set_config("app.actor_id", str(actor_id or ""), True)))
    address = await database.scalar(select(User.email).where(User.id == user_id).with_for_update())
    if address is None:
        return False
    candidate_id = await database.scalar(
        select(Candidate.id).where(Candidate.user_id == user_id).with_for_update()
    )
    if candidate_id is not None:
        await _forget_candidate(database, candidate_id)
    await database.execute(
        delete(VerificationToken).where(func.lower(VerificationToken.identifier) == same(address))
    )
    employer_id = await database.scalar(select(Employer.id).where(Employer.user_id == user_id))
    if employer_id is None:
        await database.execute(delete(User).where(User.id == user_id))
    else:
        await _empty_employer(database, user_id)
    return True


async def _forget_candidate(database: AsyncSession, candidate_id: int) -> None:
    theirs = JobApplication.candidate_id == candidate_id
    # Locked in one order, as another purge may count the same jobs down.
    jobs = select(JobApplication.job_id).where(theirs, JobApplication.deleted_at.is_(None))
    await database.execute(
        select(Job.id).where(Job.id.in_(jobs)).order_by(Job.id).with_for_update(key_share=True)
    )
    counted = jobs.add_columns(func.count().label("applications")).group_by(JobApplication.job_id).subquery()
    await database.execute(
        update(Job)
        .where(Job.id == counted.c.job_id)
        .values(
            applications_count=func.greatest(
                func.coalesce(Job.applications_count, 0) - counted.c.applications, 0
            ),
            updated_at=Job.updated_at,
        )
        .execution_options(synchronize_session=False)
    )
    # What others were told of them, which may name them.
    for told in (Notification, ArchivedNotification):
        applications = select(JobApplication.id).where(theirs)
        await database.execute(delete(told).where(told.related_application_id.in_(applications)))
    await database.execute(delete(Candidate).where(Candidate.id == candidate_id))


async def _empty_employer(database: AsyncSession, user_id: int) -> None:
    for theirs in (Account, Session, PasswordResetToken, Notification, ArchivedNotification):
        await database.execute(delete(theirs).where(theirs.user_id == user_id))
    await database.execute(
        update(Employer)
        .where(Employer.user_id == user_id)
        .values(
            position=None,
            department=None,
            phone=None,
            can_create_jobs=False,
            can_manage_candidates=False,
            is_admin=False,
        )
    )
    await database.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            email=purged_address(user_id),
            email_verified=None,
            password_hash=None,
            name=PURGED,
            first_name=PURGED,
            last_name=PURGED,
            image=None,
            clerk_id=None,
            is_active=False,
            deleted_at=func.coalesce(User.deleted_at, func.now()),
        )
    )
