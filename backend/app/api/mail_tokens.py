"""What is done with tokens that come by mail: a new password, a verified address. Each is good once."""

from __future__ import annotations

from fastapi import APIRouter, BackgroundTasks, HTTPException, Request, status
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from app import password_reset
from app.addresses import GivenAddress, same
from app.api.registering import Message
from app.auth import SignedIn
from app.database import Database
from app.even_time import EvenTime
from app.letters import Letters
from app.mail import Mailer
from app.models import User
from app.passwords import NewPassword, hash_password
from app.rate_limit import RESPONSES, Limited
from app.registration import add_verification, verify
from app.settings import Settings
from app.tokens import GivenToken

router = APIRouter(prefix="/api/auth", tags=["signing in"])

USED_UP = {**RESPONSES, 410: {"description": "The token was used, has expired or never was"}}


class ResetRequest(BaseModel):
    """Whose password was forgotten."""

    model_config = ConfigDict(extra="forbid")

    email: GivenAddress


class ResetConfirmation(BaseModel):
    """The token from the mail, and the new password."""

    model_config = ConfigDict(extra="forbid")

    token: GivenToken
    password: NewPassword


class VerificationConfirmation(BaseModel):
    """The token from the mail."""

    model_config = ConfigDict(extra="forbid")

    token: GivenToken


@router.post("/password-reset/request", status_code=status.HTTP_202_ACCEPTED, responses=RESPONSES)
async def request_reset(
    given: ResetRequest,
    request: Request,
    background: BackgroundTasks,
    limited: Limited,
    even: EvenTime,
    database: Database,
) -> Message:
    """Send a token to set a new password with, if the address has an active user. The answer is the same."""
    await limited.spend("password_reset_request", same(given.email))
    found = await password_reset.add_reset(database, given.email)
    await database.commit()
    if found is not None and found.token is not None:
        letters, mailer = _post_office(request)
        background.add_task(mailer.send, letters.password_reset(found.user_id, found.email, found.token))
    await even.out()
    return Message(
        message="If this address has an account, a link to set a new password is on its way to it."
    )


@router.post("/password-reset/confirm", status_code=status.HTTP_204_NO_CONTENT, responses=USED_UP)
async def confirm_reset(
    given: ResetConfirmation,
    request: Request,
    background: BackgroundTasks,
    limited: Limited,
    database: Database,
) -> None:
    """Set a new password and end all sessions, and use up all such tokens of the user.

    Access tokens made before are good for the rest of their minutes.
    """
    await limited.spend("password_reset_confirm")
    hashed = await hash_password(given.password)
    owner = await password_reset.reset(database, given.token, hashed)
    if owner is None:
        await database.rollback()
        raise _used_up()
    await database.commit()
    letters, mailer = _post_office(request)
    background.add_task(mailer.send, letters.password_changed(owner.user_id, owner.email))


@router.post(
    "/verify-email/request",
    status_code=status.HTTP_202_ACCEPTED,
    responses={**RESPONSES, 409: {"description": "The address is verified already"}},
)
async def request_verification(
    asking: SignedIn,
    request: Request,
    background: BackgroundTasks,
    limited: Limited,
    database: Database,
) -> Message:
    """Send a token to the signed-in user's address that shows that it is theirs."""
    await limited.spend("verify_email_request", str(asking.user_id))
    user = (
        await database.execute(
            select(User.email, User.email_verified).where(
                User.id == asking.user_id, User.deleted_at.is_(None)
            )
        )
    ).one_or_none()
    if user is None or user.email_verified is not None:
        raise HTTPException(
            status.HTTP_409_CONFLICT, "Your address is verified already; there is nothing to do."
        )
    token = await add_verification(database, user.email)
    await database.commit()
    letters, mailer = _post_office(request)
    background.add_task(mailer.send, letters.verify_email(asking.user_id, user.email, token))
    return Message(message="Look into your mail: we have written to your address.")


@router.post("/verify-email/confirm", status_code=status.HTTP_204_NO_CONTENT, responses=USED_UP)
async def confirm_verification(given: VerificationConfirmation, limited: Limited, database: Database) -> None:
    """Take the token as a proof that its address is its user's."""
    await limited.spend("verify_email_confirm")
    verified = await verify(database, given.token)
    await database.commit()
    if not verified:
        raise _used_up()


def _post_office(request: Request) -> tuple[Letters, Mailer]:
    configuration: Settings = request.app.state.settings
    return Letters(configuration.public_url), request.app.state.mailer


def _used_up() -> HTTPException:
    return HTTPException(
        status.HTTP_410_GONE, "This link was used already or has expired; ask for another one."
    )
