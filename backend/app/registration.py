"""New users, and the tokens that verify their addresses."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, NamedTuple

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.addresses import same
from app.models import Candidate, Company, Employer, User, VerificationToken
from app.sessions import may_sign_in
from app.tokens import new_token, token_hash

VERIFICATION_LIFETIME = timedelta(days=1)


class NewUser(NamedTuple):
    """Who registers."""

    email: str
    password_hash: str
    role: Literal["candidate", "employer"]
    first_name: str
    last_name: str
    company_name: str | None


async def add_user(database: AsyncSession, new: NewUser) -> int | None:
    """The id of a new user with an empty profile; None when the address has one. Of many at once one wins."""
    user_id: int | None = await database.scalar(
        insert(User)
        .values(
            email=new.email,
            password_hash=new.password_hash,
            role=new.role,
            name=f"{new.first_name} {new.last_name}",
            first_name=new.first_name,
            last_name=new.last_name,
        )
        .on_conflict_do_nothing()
        .returning(User.id)
    )
    if user_id is None:
        return None
    if new.role == "candidate":
        await database.execute(insert(Candidate).values(user_id=user_id))
        return user_id
    company_id = None
    if new.company_name is not None:
        company_id = await database.scalar(
            insert(Company).values(name=new.company_name).returning(Company.id)
        )
    await database.execute(insert(Employer).values(user_id=user_id, company_id=company_id))
    return user_id


async def add_verification(database: AsyncSession, email: str) -> str:
    """A token that shows that its holder reads the mail of `email`."""
    token = new_token()
    await database.execute(
        insert(VerificationToken).values(
            identifier=same(email), token=token_hash(token), expires=func.now() + VERIFICATION_LIFETIME
        )
    )
    return token


async def verify(database: AsyncSession, token: str) -> bool:
    """Use a verification token up; whether it was good and its address is still a user's."""
    address = await database.scalar(
        delete(VerificationToken)
        .where(VerificationToken.token == token_hash(token), VerificationToken.expires > func.now())
        .returning(VerificationToken.identifier)
        .execution_options(synchronize_session=False)
    )
    if address is None:
        return False
    verified = await database.scalar(
        update(User)
        .where(func.lower(User.email) == same(address), may_sign_in())
        .values(email_verified=func.coalesce(User.email_verified, func.now()))
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    return verified is not None
