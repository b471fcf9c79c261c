"""Sessions: a refresh token that is good once, and gives the next one."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Session, User
from app.tokens import new_token, token_hash


async def begin(database: AsyncSession, user_id: int, password_hash: str, lifetime: timedelta) -> str | None:
    """A session for the user who has shown their password; its refresh token.

    None when meanwhile they may not sign in any more or `password_hash` is not theirs any more. The lock on
    the user's row makes a password reset wait, so that it ends this session too.
    """
    token = new_token()
    user = (
        select(User.id, literal(token_hash(token)), func.now() + lifetime)
        .where(User.id == user_id, User.password_hash == password_hash, may_sign_in())
        .with_for_update(read=True)
    )
    made = await database.execute(
        insert(Session).from_select(["user_id", "session_token", "expires"], user).returning(Session.id)
    )
    return None if made.one_or_none() is None else token


async def renew(database: AsyncSession, token: str, lifetime: timedelta) -> tuple[int, str] | None:
    """The user of a refresh token and the token in its place; None when it is not good (any more)."""
    following = new_token()
    user_id = await database.scalar(
        update(Session)
        .where(
            Session.session_token == token_hash(token),
            Session.expires > func.now(),
            Session.user_id == User.id,
            may_sign_in(),
        )
        .values(session_token=token_hash(following), expires=func.now() + lifetime)
        .returning(Session.user_id)
        .execution_options(synchronize_session=False)
    )
    return None if user_id is None else (user_id, following)


async def end(database: AsyncSession, token: str) -> None:
    """End the session of this refresh token, if there is one."""
    await database.execute(delete(Session).where(Session.session_token == token_hash(token)))


async def end_all(database: AsyncSession, user_id: int) -> None:
    """End all sessions of the user."""
    await database.execute(delete(Session).where(Session.user_id == user_id))


def may_sign_in() -> ColumnElement[bool]:
    """Users who are active and not deleted."""
    return and_(User.is_active.is_(True), User.deleted_at.is_(None))
