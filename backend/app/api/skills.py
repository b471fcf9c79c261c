"""What a candidate can do."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field

from app import parts
from app.auth import SignedInCandidate
from app.changes import Changes
from app.database import Database
from app.fields import PathId, ShortText, Whole
from app.models import Skill as Stored

router = APIRouter(prefix="/api/profile/skills", tags=["profile"])

Category = Literal["technical", "soft", "language"]
Level = Annotated[Whole, Field(ge=1, le=5, description="1: a beginner, 5: an expert", examples=[4])]


class NewSkill(BaseModel):
    """A skill as it is sent."""

    model_config = ConfigDict(extra="forbid")

    name: ShortText = Field(examples=["PostgreSQL"])
    level: Level
    category: Category


class SkillChanges(Changes):
    """What changes about a skill."""

    name: ShortText = Field(default_factory=str)
    level: Level = Field(default_factory=int)
    category: Category = Field(default_factory=lambda: "technical")


class Skill(BaseModel):
    """A skill as it is stored."""

    id: int = Field(examples=[51])
    name: str = Field(examples=["SQL"])
    level: int = Field(examples=[4])
    category: Category


@router.get("", responses=parts.LIST_RESPONSES)
async def skills(candidate_id: SignedInCandidate, database: Database) -> list[Skill]:
    """The candidate's skills by name."""
    found = await parts.owned(database, Stored, Skill, candidate_id, Stored.name)
    return [Skill.model_validate(dict(row)) for row in found]


@router.post("", status_code=status.HTTP_201_CREATED, responses=parts.CREATE_RESPONSES)
async def create(new: NewSkill, candidate_id: SignedInCandidate, database: Database) -> Skill:
    """Add a skill."""
    made = await parts.create(database, Stored, Skill, candidate_id, new.model_dump())
    return Skill.model_validate(dict(made))


@router.patch("/{skill_id}", responses=parts.OWN_RESPONSES)
async def change(
    skill_id: PathId, changes: SkillChanges, candidate_id: SignedInCandidate, database: Database
) -> Skill:
    """Change a skill."""
    changed = await parts.change(database, Stored, Skill, candidate_id, skill_id, changes)
    return Skill.model_validate(dict(changed))


@router.delete("/{skill_id}", status_code=status.HTTP_204_NO_CONTENT, responses=parts.OWN_RESPONSES)
async def delete(skill_id: PathId, candidate_id: SignedInCandidate, database: Database) -> None:
    """Delete a skill."""
    await parts.remove(database, Stored, candidate_id, skill_id)
