"""Registering: a user with an empty profile, and a mail to their address."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Request, status
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.addresses import NewAddress, same
from app.database import Database
from app.even_time import EvenTime
from app.inputs import StorableText
from app.letters import Letters
from app.mail import Letter, Mailer
from app.password_reset import add_reset
from app.passwords import NewPassword, hash_password
from app.rate_limit import RESPONSES, Limited
from app.registration import NewUser, add_user, add_verification
from app.settings import Settings

router = APIRouter(prefix="/api/auth", tags=["signing in"])

Name = Annotated[StorableText, AfterValidator(str.strip), Field(min_length=1, max_length=100)]


class Registration(BaseModel):
    """Who registers, and as what."""

    model_config = ConfigDict(extra="forbid")

    email: NewAddress
    password: NewPassword
    role: Literal["candidate", "employer"]
    first_name: Name = Field(examples=["Ada"])
    last_name: Name = Field(examples=["Byron"])
    company_name: Name | None = Field(
        None, description="Of an employer: a company to be made", examples=[None, "Atelier Nova"]
    )

    @model_validator(mode="after")
    def _company_of_an_employer(self) -> Registration:
        if self.company_name is not None and self.role != "employer":
            raise ValueError("only an employer can name a company; leave company_name out")
        return self


class Message(BaseModel):
    """What happens now."""

    message: str = Field(examples=["Look into your mail: we have written to this address."])


@router.post("/register", status_code=status.HTTP_202_ACCEPTED, responses=RESPONSES)
async def register(
    new: Registration,
    request: Request,
    background: BackgroundTasks,
    limited: Limited,
    even: EvenTime,
    database: Database,
) -> Message:
    """Make a user with an empty profile. The answer is the same for an address that has one already."""
    await limited.spend("register", same(new.email))
    hashed = await hash_password(new.password)
    configuration: Settings = request.app.state.settings
    mailer: Mailer = request.app.state.mailer
    letters = Letters(configuration.public_url)
    letter: Letter | None = None
    user_id = await add_user(
        database,
        NewUser(new.email, hashed, new.role, new.first_name, new.last_name, new.company_name),
    )
    if user_id is not None:
        token = await add_verification(database, new.email)
        letter = letters.verify_email(user_id, new.email, token)
    else:
        known = await add_reset(database, new.email)
        # None when the user was purged since the line before.
        if known is not None:
            letter = letters.known_address(known.user_id, known.email, known.token)
    await database.commit()
    if letter is not None:
        background.add_task(mailer.send, letter)
    await even.out()
    return Message(message="Look into your mail: we have written to this address.")
