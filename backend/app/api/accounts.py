"""Accounts at other providers that a user has linked. Their tokens come in and never go out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, select

from app.accounts import SHOWN, link_account
from app.auth import SignedIn
from app.database import Database
from app.inputs import MAX_ID, StorableText
from app.models import Account
from app.sealing import TOKEN_COLUMNS, Sealer, seal_tokens
from app.settings import Settings

router = APIRouter(prefix="/api/me/accounts", tags=["me"])

Provider = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,49}$", examples=["google"])]
Token = Annotated[StorableText, Field(min_length=1, max_length=8000)]


class AccountLink(BaseModel):
    """What a provider said of the account."""

    model_config = ConfigDict(extra="forbid")

    provider_account_id: StorableText = Field(
        min_length=1, max_length=255, examples=["108234567890123456789"]
    )
    access_token: Token | None = Field(None, examples=["ya29.a0AfB_by"])
    refresh_token: Token | None = Field(None, examples=["1//0gLx"])
    id_token: Token | None = None
    expires_at: int | None = Field(
        None, ge=0, le=MAX_ID, description="Seconds since 1970 in UTC", examples=[1790000000]
    )
    token_type: StorableText | None = Field(None, max_length=50, examples=["bearer"])
    scope: StorableText | None = Field(None, max_length=2000, examples=["openid email"])


class LinkedAccount(BaseModel):
    """A linked account, without its tokens."""

    provider: str = Field(examples=["google"])
    provider_account_id: str = Field(examples=["108234567890123456789"])
    token_type: str | None = Field(examples=["bearer"])
    scope: str | None = Field(examples=["openid email"])
    expires_at: int | None = Field(examples=[1790000000])
    has_access_token: bool
    has_refresh_token: bool
    created_at: datetime | None
    updated_at: datetime | None


@router.get("")
async def my_accounts(asking: SignedIn, database: Database) -> list[LinkedAccount]:
    """The signed-in user's accounts at other providers."""
    rows = await database.execute(
        select(*SHOWN).where(Account.user_id == asking.user_id).order_by(Account.provider, Account.id)
    )
    return [LinkedAccount.model_validate(dict(row)) for row in rows.mappings()]


@router.put(
    "/{provider}",
    responses={
        409: {"description": "Another user has linked this account"},
        503: {"description": "The service has no key to seal tokens with, or the database is away"},
    },
)
async def link(
    provider: Provider, given: AccountLink, asking: SignedIn, request: Request, database: Database
) -> LinkedAccount:
    """Link the user's account at the provider, in place of the one that was linked there.

    The tokens are stored sealed. They are taken as the client has them from the provider; nobody can sign
    in by them.
    """
    sealer = _sealer(request)
    tokens = given.model_dump(include=set(TOKEN_COLUMNS))
    others = given.model_dump(exclude={*TOKEN_COLUMNS, "provider_account_id"})
    values = others | seal_tokens(sealer, tokens)
    linked = await link_account(database, asking.user_id, provider, given.provider_account_id, values)
    if linked is None:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"Another user has linked this account at {provider}; it can have one."
        )
    await database.commit()
    return LinkedAccount.model_validate(dict(linked))


@router.delete(
    "/{provider}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={404: {"description": "No account at this provider is linked"}},
)
async def unlink(provider: Provider, asking: SignedIn, database: Database) -> None:
    """Forget the user's account at the provider, with its tokens."""
    gone = await database.scalars(
        delete(Account)
        .where(Account.user_id == asking.user_id, Account.provider == provider)
        .returning(Account.id)
    )
    if not gone.all():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"You have linked no account at {provider}.")
    await database.commit()


def _sealer(request: Request) -> Sealer:
    settings: Settings = request.app.state.settings
    if settings.sealer is None:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE,
            "Accounts cannot be linked here: whoever runs this service has to set TOKEN_KEYS.",
        )
    return settings.sealer
