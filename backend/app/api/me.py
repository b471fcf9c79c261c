"""A person's own data: all of it to take away, and none of it to leave behind."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response, status
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from app.auth import SignedIn
from app.database import Database
from app.models import User
from app.passwords import GivenPassword, verify_password
from app.personal_data import PersonalData, personal_data
from app.privacy import purge
from app.rate_limit import RESPONSES, Limited

router = APIRouter(prefix="/api/me", tags=["me"])


class Farewell(BaseModel):
    """The password, so that nobody else does it at an unlocked screen."""

    model_config = ConfigDict(extra="forbid")

    password: GivenPassword


@router.get("/export")
async def export(asking: SignedIn, response: Response, database: Database) -> PersonalData:
    """Everything that is stored about the signed-in user, but for password and tokens."""
    found = await personal_data(database, asking.user_id)
    if found is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This user does not exist any more.")
    response.headers["Content-Disposition"] = 'attachment; filename="intowork-export.json"'
    response.headers["Cache-Control"] = "no-store"
    return found


@router.delete(
    "",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={**RESPONSES, 403: {"description": "The password is not the user's"}},
)
async def forget_me(given: Farewell, asking: SignedIn, limited: Limited, database: Database) -> None:
    """Remove the signed-in user and all that is stored about them. There is no way back.

    An employer's jobs stay with the company, under no name.
    """
    await limited.spend("purge", str(asking.user_id))
    password_hash = await database.scalar(select(User.password_hash).where(User.id == asking.user_id))
    await database.rollback()
    if not await verify_password(password_hash, given.password):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "This is not your password, so nothing was removed; without one, ask for a new password first.",
        )
    await purge(database, asking.user_id, asking.user_id)
    await database.commit()
