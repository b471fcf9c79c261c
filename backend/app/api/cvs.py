"""The CVs of a candidate: what they are and where; the files themselves are elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, status
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import or_, update

from app import parts
from app.auth import SignedInCandidate
from app.changes import Changes
from app.database import Database
from app.fields import Flag, PathId, ShortText, Whole
from app.inputs import MAX_ID, StorableText
from app.models import CandidateCv as Stored

router = APIRouter(prefix="/api/profile/cvs", tags=["profile"])


def _stays_inside(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("has the part .., which leads out of the folder of CVs")
    return path


FilePath = Annotated[
    StorableText,
    StringConstraints(min_length=1, max_length=1_000),
    AfterValidator(_stays_inside),
    Field(examples=["/cv/1.pdf"]),
]
FileSize = Annotated[Whole, Field(ge=0, le=MAX_ID, description="In bytes", examples=[120_000])]


class NewCv(BaseModel):
    """A CV as it is sent."""

    model_config = ConfigDict(extra="forbid")

    filename: ShortText = Field(examples=["cv-2026.pdf"])
    file_path: FilePath
    file_size: FileSize | None = None
    is_active: Flag = Field(True, description="The one to apply with; the one before no longer is")


class CvChanges(Changes):
    """What changes about a CV; `activate` says which one is active."""

    filename: ShortText = Field(default_factory=str)
    file_path: FilePath = Field(default_factory=str)
    file_size: FileSize | None = None


class Cv(BaseModel):
    """A CV as it is stored."""

    id: int = Field(examples=[61])
    filename: str = Field(examples=["cv-2026.pdf"])
    file_path: str = Field(examples=["/cv/5/cv-2026.pdf"])
    file_size: int | None = Field(examples=[48_000])
    is_active: bool | None
    created_at: datetime | None


@router.get("", responses=parts.LIST_RESPONSES)
async def cvs(candidate_id: SignedInCandidate, database: Database) -> list[Cv]:
    """The candidate's CVs, the newest first."""
    found = await parts.owned(database, Stored, Cv, candidate_id, Stored.created_at.desc())
    return [Cv.model_validate(dict(row)) for row in found]


@router.post("", status_code=status.HTTP_201_CREATED, responses=parts.CREATE_RESPONSES)
async def create(new: NewCv, candidate_id: SignedInCandidate, database: Database) -> Cv:
    """Add a CV. An active one takes the place of the one before, in the same statement."""
    others = (
        update(Stored)
        .where(Stored.candidate_id == candidate_id, Stored.is_active.is_(True))
        .values(is_active=False)
        .cte("others")
    )
    made = await parts.create(
        database, Stored, Cv, candidate_id, new.model_dump(), *([others] if new.is_active else [])
    )
    return Cv.model_validate(dict(made))


@router.post("/{cv_id}/activate", responses=parts.OWN_RESPONSES)
async def activate(cv_id: PathId, candidate_id: SignedInCandidate, database: Database) -> Cv:
    """Make this the active CV, and the one before inactive, in one statement."""
    await parts.one_at_a_time(database, candidate_id)
    statement = (
        update(Stored)
        .where(Stored.candidate_id == candidate_id, or_(Stored.is_active.is_(True), Stored.id == cv_id))
        .values(is_active=Stored.id == cv_id)
        .returning(*parts.columns(Stored, Cv))
    )
    active = [row for row in (await database.execute(statement)).mappings() if row["id"] == cv_id]
    if not active:
        raise parts.none_of_yours(cv_id)
    await database.commit()
    return Cv.model_validate(dict(active[0]))


@router.patch("/{cv_id}", responses=parts.OWN_RESPONSES)
async def change(
    cv_id: PathId, changes: CvChanges, candidate_id: SignedInCandidate, database: Database
) -> Cv:
    """Change what is known about a CV."""
    changed = await parts.change(database, Stored, Cv, candidate_id, cv_id, changes)
    return Cv.model_validate(dict(changed))


@router.delete("/{cv_id}", status_code=status.HTTP_204_NO_CONTENT, responses=parts.OWN_RESPONSES)
async def delete(cv_id: PathId, candidate_id: SignedInCandidate, database: Database) -> None:
    """Forget a CV. If it was the active one, none is until another is activated."""
    await parts.remove(database, Stored, candidate_id, cv_id)
