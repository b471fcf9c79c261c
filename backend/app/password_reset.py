"""A new password for who has forgotten theirs, by a single-use token sent to their address."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.addresses import same
from app.models import PasswordResetToken, User
from app.sessions import end_all, may_sign_in
from app.tokens import new_token, token_hash

RESET_LIFETIME = timedelta(minutes=30)


class Addressee(NamedTuple):
    """A user, the address as it is stored, and a token for a mail to it; without one they may not sign in."""

    user_id: int
    email: str
    token: str | None


async def add_reset(database: AsyncSession, email: str) -> Addressee | None:
    """A token to set a new password with, for the user of the address; None when there is no such user."""
    user = (
        await database.execute(
            select(User.id, User.email, may_sign_in().label("active")).where(
                func.lower(User.email) == same(email)
            )
        )
    ).one_or_none()
    token = new_token()
    # Also without a user, then of no row: the same statements either way.
    wanted = select(User.id, literal(token_hash(token)), func.now() + RESET_LIFETIME).where(
        User.id == (user.id if user else 0), may_sign_in()
    )
    await database.execute(insert(PasswordResetToken).from_select(["user_id", "token", "expires_at"], wanted))
    return None if user is None else Addressee(user.id, user.email, token if user.active else None)


async def reset(database: AsyncSession, token: str, password_hash: str) -> Addressee | None:
    """Set a new password by a reset token, once, and end all sessions; None when the token is not good.

    On None the caller has to roll back.
    """
    stored = token_hash(token)
    owner = (
        select(PasswordResetToken.user_id)
        .where(
            PasswordResetToken.token == stored,
            PasswordResetToken.used_at.is_(None),
            PasswordResetToken.expires_at > func.now(),
        )
        .scalar_subquery()
    )
    # The user first: their row's lock puts resets and sign-ins of one user in a line.
    user = (
        await database.execute(
            update(User)
            .where(User.id == owner, may_sign_in())
            # Who has the token reads the address's mail.
            .values(
                password_hash=password_hash, email_verified=func.coalesce(User.email_verified, func.now())
            )
            .returning(User.id, User.email)
            .execution_options(synchronize_session=False)
        )
    ).one_or_none()
    if user is None:
        return None
    # With this one all others that were asked for. This statement decides: who waited for the lock comes
    # with what the token was before, and finds it used now.
    used = await database.scalars(
        update(PasswordResetToken)
        .where(PasswordResetToken.user_id == user.id, PasswordResetToken.used_at.is_(None))
        .values(used_at=func.now())
        .returning(PasswordResetToken.token)
        .execution_options(synchronize_session=False)
    )
    if stored not in used.all():
        return None
    await end_all(database, user.id)
    return Addressee(user.id, user.email, None)
