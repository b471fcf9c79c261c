"""The positions that a candidate holds or held."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import parts
from app.auth import SignedInCandidate
from app.changes import Changes, in_order
from app.database import Database
from app.fields import Day, Flag, LongText, PathId, ShortText
from app.models import Experience as Stored

router = APIRouter(prefix="/api/profile/experiences", tags=["profile"])

DATES_IN_ORDER = in_order("start_date", "end_date")


def current_has_no_end(values: Mapping[str, Any]) -> None:
    """The rule that a position held today has not ended."""
    if values.get("is_current") and values.get("end_date") is not None:
        raise ValueError("is_current is true and end_date is there; leave one of them out")


class NewExperience(BaseModel):
    """A position as it is sent."""

    model_config = ConfigDict(extra="forbid")

    title: ShortText = Field(examples=["Data Engineer"])
    company: ShortText = Field(examples=["Atelier Nova"])
    location: ShortText | None = Field(None, examples=["Lyon"])
    start_date: Day = Field(examples=["2021-03-01"])
    end_date: Day | None = Field(None, examples=["2024-06-30"])
    is_current: Flag = False
    description: LongText | None = None

    @model_validator(mode="after")
    def _plausible(self) -> NewExperience:
        DATES_IN_ORDER(vars(self))
        current_has_no_end(vars(self))
        return self


class ExperienceChanges(Changes):
    """What changes about a position."""

    title: ShortText = Field(default_factory=str, examples=["Lead Data Engineer"])
    company: ShortText = Field(default_factory=str)
    location: ShortText | None = None
    start_date: Day = Field(default_factory=date.today)
    end_date: Day | None = None
    is_current: Flag = Field(default_factory=bool)
    description: LongText | None = None


class Experience(BaseModel):
    """A position as it is stored."""

    id: int = Field(examples=[31])
    title: str = Field(examples=["Data Engineer"])
    company: str = Field(examples=["Atelier Nova"])
    location: str | None = Field(examples=["Lyon"])
    start_date: date
    end_date: date | None
    is_current: bool | None
    description: str | None = Field(examples=["Kept the data of a hospital flowing."])


@router.get("", responses=parts.LIST_RESPONSES)
async def experiences(candidate_id: SignedInCandidate, database: Database) -> list[Experience]:
    """The candidate's positions, the latest first."""
    found = await parts.owned(database, Stored, Experience, candidate_id, Stored.start_date.desc())
    return [Experience.model_validate(dict(row)) for row in found]


@router.post("", status_code=status.HTTP_201_CREATED, responses=parts.CREATE_RESPONSES)
async def create(new: NewExperience, candidate_id: SignedInCandidate, database: Database) -> Experience:
    """Add a position."""
    made = await parts.create(database, Stored, Experience, candidate_id, new.model_dump())
    return Experience.model_validate(dict(made))


@router.patch("/{experience_id}", responses=parts.OWN_RESPONSES)
async def change(
    experience_id: PathId, changes: ExperienceChanges, candidate_id: SignedInCandidate, database: Database
) -> Experience:
    """Change a position."""
    rules = (DATES_IN_ORDER, current_has_no_end)
    changed = await parts.change(database, Stored, Experience, candidate_id, experience_id, changes, *rules)
    return Experience.model_validate(dict(changed))


@router.delete("/{experience_id}", status_code=status.HTTP_204_NO_CONTENT, responses=parts.OWN_RESPONSES)
async def delete(experience_id: PathId, candidate_id: SignedInCandidate, database: Database) -> None:
    """Delete a position."""
    await parts.remove(database, Stored, candidate_id, experience_id)
