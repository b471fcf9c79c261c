"""A candidate's own profile."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select, update

from app.answers import AnySelect
from app.auth import SignedInCandidate
from app.changes import Changes, in_order, merged
from app.database import Database
from app.fields import LongText, ShortText, WebAddress, Whole
from app.inputs import MAX_ID
from app.models import Candidate, User

router = APIRouter(prefix="/api/profile", tags=["profile"])

ONLY_CANDIDATES: dict[int | str, dict[str, Any]] = {403: {"description": "Only for candidates"}}

Salary = Annotated[Whole, Field(ge=0, le=MAX_ID, description="A year, before taxes", examples=[45_000])]


class ProfileChanges(Changes):
    """What changes about the profile."""

    phone: ShortText | None = Field(None, max_length=50, examples=["+33 4 00 00 00 00"])
    location: ShortText | None = Field(None, examples=["Lyon"])
    linkedin_url: WebAddress | None = None
    website_url: WebAddress | None = None
    profile_picture_url: WebAddress | None = None
    title: ShortText | None = Field(None, examples=["Data Engineer"])
    summary: LongText | None = None
    years_experience: Whole | None = Field(None, ge=0, le=80, examples=[5])
    salary_expectation_min: Salary | None = None
    salary_expectation_max: Salary | None = None


class Profile(BaseModel):
    """The candidate, as employers will see them."""

    id: int = Field(examples=[5])
    first_name: str = Field(examples=["Ada"])
    last_name: str = Field(examples=["Byron"])
    email: str = Field(examples=["ada.byron@example.com"])
    phone: str | None = Field(examples=["+33 6 12 34 56 78"])
    location: str | None = Field(examples=["Lyon"])
    linkedin_url: str | None = Field(examples=["https://www.linkedin.com/in/ada-byron"])
    website_url: str | None = Field(examples=["https://ada.example.com"])
    profile_picture_url: str | None = Field(examples=["https://files.example.com/ada.jpg"])
    title: str | None = Field(examples=["Data Engineer"])
    summary: str | None = Field(examples=["I like data that fits."])
    years_experience: int | None = Field(examples=[7])
    salary_expectation_min: int | None = Field(examples=[45_000])
    salary_expectation_max: int | None = Field(examples=[55_000])
    cv_url: str | None = Field(examples=["https://files.example.com/cv.pdf"])
    cv_filename: str | None = Field(examples=["cv-2026.pdf"])
    cv_uploaded_at: datetime | None


_OF_USER = ("first_name", "last_name", "email")


def profile_statement(candidate_id: int) -> AnySelect:
    """The statement of one profile."""
    return (
        select(*(getattr(User if name in _OF_USER else Candidate, name) for name in Profile.model_fields))
        .join(User, User.id == Candidate.user_id)
        .where(Candidate.id == candidate_id)
    )


async def _profile(database: Database, candidate_id: int) -> Profile:
    found = (await database.execute(profile_statement(candidate_id))).mappings().one()
    return Profile.model_validate(dict(found))


@router.get("", responses=ONLY_CANDIDATES)
async def profile(candidate_id: SignedInCandidate, database: Database) -> Profile:
    """The signed-in candidate's profile."""
    return await _profile(database, candidate_id)


@router.patch("", responses=ONLY_CANDIDATES)
async def change(changes: ProfileChanges, candidate_id: SignedInCandidate, database: Database) -> Profile:
    """Change the signed-in candidate's profile."""
    # Locked, so that of two changes at once the second is checked against what the first has stored.
    stored = (
        (
            await database.execute(
                select(Candidate.salary_expectation_min, Candidate.salary_expectation_max)
                .where(Candidate.id == candidate_id)
                .with_for_update(key_share=True)
            )
        )
        .mappings()
        .one()
    )
    values = merged(dict(stored), changes, in_order("salary_expectation_min", "salary_expectation_max"))
    await database.execute(update(Candidate).where(Candidate.id == candidate_id).values(**values))
    changed = await _profile(database, candidate_id)
    await database.commit()
    return changed
