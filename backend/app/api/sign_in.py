"""Logging in and out, and who one is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, func, select, true, update

from app import sessions
from app.addresses import GivenAddress, same
from app.auth import SignedIn, make_token
from app.database import Database
from app.even_time import EvenTime
from app.models import User
from app.passwords import GivenPassword, hash_password, is_outdated, verify_password
from app.rate_limit import RESPONSES, Limited
from app.settings import Settings
from app.tokens import GivenToken

router = APIRouter(prefix="/api/auth", tags=["signing in"])

UNAUTHORIZED = {"WWW-Authenticate": "Bearer"}


class Credentials(BaseModel):
    """What one logs in with."""

    model_config = ConfigDict(extra="forbid")

    email: GivenAddress
    password: GivenPassword


class RefreshToken(BaseModel):
    """The refresh token that came last."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: GivenToken


class Tokens(BaseModel):
    """An access token for requests, and a refresh token for the next access token: good once."""

    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.signature"])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the type's name
    expires_in: int = Field(description="Seconds that the access token is good", examples=[900])
    refresh_token: str = Field(examples=["ZK3lJ3mXyQ0u8mR7rLrIu3eW2dG5bq9VYwZ4c1nT0aE"])


class Me(BaseModel):
    """The signed-in user."""

    id: int = Field(examples=[7])
    email: str = Field(examples=["ada.byron@example.com"])
    email_verified: datetime | None
    first_name: str = Field(examples=["Ada"])
    last_name: str = Field(examples=["Byron"])
    role: Literal["candidate", "employer", "admin"]
    candidate_id: int | None = Field(examples=[5])
    employer_id: int | None = Field(examples=[None])
    company_id: int | None = Field(examples=[None])


@router.post(
    "/login", responses={**RESPONSES, 401: {"description": "No active user has this address and password"}}
)
async def login(
    given: Credentials,
    request: Request,
    response: Response,
    limited: Limited,
    even: EvenTime,
    database: Database,
) -> Tokens:
    """Begin a session. Whatever is wrong with address, password or user, the answer is the same."""
    configuration: Settings = request.app.state.settings
    account = same(given.email)
    await limited.spend("login", account)
    wanted = select(User.id, User.password_hash).where(
        func.lower(User.email) == account, sessions.may_sign_in(), _verified(configuration)
    )
    # Once more when the hash was replaced while it was looked at, by another login or a reset.
    for _ in range(2):
        user = (await database.execute(wanted)).one_or_none()
        # Hashing takes its time: not with a transaction open.
        await database.rollback()
        if not await verify_password(user.password_hash if user else None, given.password) or user is None:
            break
        lifetime = timedelta(days=configuration.refresh_token_days)
        token = await sessions.begin(database, user.id, user.password_hash, lifetime)
        if token is not None:
            await limited.forgive("login", account)
            await database.commit()
            await _hash_anew(database, user.id, user.password_hash, given.password)
            return _tokens(configuration, response, user.id, token)
    await even.out()
    raise HTTPException(
        status.HTTP_401_UNAUTHORIZED,
        "No user has this address and password; mind capitals, or ask for a new password.",
        headers=UNAUTHORIZED,
    )


@router.post(
    "/refresh", responses={**RESPONSES, 401: {"description": "The refresh token is not good any more"}}
)
async def refresh(
    given: RefreshToken, request: Request, response: Response, limited: Limited, database: Database
) -> Tokens:
    """New tokens for a refresh token, which is used up. Of many at once with one token, one gets them."""
    configuration: Settings = request.app.state.settings
    await limited.spend("refresh")
    renewed = await sessions.renew(
        database, given.refresh_token, timedelta(days=configuration.refresh_token_days)
    )
    await database.commit()
    if renewed is None:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "The refresh token was used, has expired or its session has ended; sign in again.",
            headers=UNAUTHORIZED,
        )
    return _tokens(configuration, response, *renewed)


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, responses=RESPONSES)
async def logout(given: RefreshToken, limited: Limited, database: Database) -> None:
    """End the session of this refresh token. Its access token is good for the rest of its minutes."""
    await limited.spend("logout")
    await sessions.end(database, given.refresh_token)
    await database.commit()


@router.post("/logout-everywhere", status_code=status.HTTP_204_NO_CONTENT, responses=RESPONSES)
async def logout_everywhere(asking: SignedIn, limited: Limited, database: Database) -> None:
    """End all sessions of the signed-in user. Access tokens are good for the rest of their minutes."""
    await limited.spend("logout_everywhere", str(asking.user_id))
    await sessions.end_all(database, asking.user_id)
    await database.commit()


@router.get("/me")
async def me(asking: SignedIn, database: Database) -> Me:
    """Who is signed in."""
    user = (
        await database.execute(
            select(
                User.id, User.email, User.email_verified, User.first_name, User.last_name, User.role
            ).where(User.id == asking.user_id)
        )
    ).one_or_none()
    if user is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This user does not exist.", headers=UNAUTHORIZED)
    return Me(
        **user._mapping,
        candidate_id=asking.candidate_id,
        employer_id=asking.employer.employer_id if asking.employer else None,
        company_id=asking.employer.company_id if asking.employer else None,
    )


def _verified(configuration: Settings) -> ColumnElement[bool]:
    return User.email_verified.is_not(None) if configuration.sign_in_needs_verified_email else true()


async def _hash_anew(database: Database, user_id: int, seen: str, password: str) -> None:
    """Replace an outdated hash, now that the password is known; unless it was replaced meanwhile."""
    if is_outdated(seen):
        hashed = await hash_password(password)
        await database.execute(
            update(User).where(User.id == user_id, User.password_hash == seen).values(password_hash=hashed)
        )
        await database.commit()


def _tokens(configuration: Settings, response: Response, user_id: int, refresh_token: str) -> Tokens:
    # RFC 6749, 5.1: nothing on the way keeps an answer with tokens.
    response.headers["Cache-Control"] = "no-store"
    lifetime = timedelta(minutes=configuration.access_token_minutes)
    return Tokens(
        access_token=make_token(user_id, configuration.jwt_secret.get_secret_value(), lifetime),
        expires_in=int(lifetime.total_seconds()),
        refresh_token=refresh_token,
    )
