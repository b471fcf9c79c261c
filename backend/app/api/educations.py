"""The degrees and courses of a candidate."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import parts
from app.auth import SignedInCandidate
from app.changes import Changes, in_order
from app.database import Database
from app.fields import Day, LongText, PathId, ShortText
from app.models import Education as Stored

router = APIRouter(prefix="/api/profile/educations", tags=["profile"])

DATES_IN_ORDER = in_order("start_date", "end_date")


class NewEducation(BaseModel):
    """A degree or a course as it is sent."""

    model_config = ConfigDict(extra="forbid")

    degree: ShortText = Field(examples=["Master of Computer Science"])
    school: ShortText = Field(examples=["Université Claude Bernard"])
    location: ShortText | None = Field(None, examples=["Lyon"])
    start_date: Day = Field(examples=["2015-09-01"])
    end_date: Day | None = Field(None, examples=["2017-06-30"])
    description: LongText | None = None

    @model_validator(mode="after")
    def _plausible(self) -> NewEducation:
        DATES_IN_ORDER(vars(self))
        return self


class EducationChanges(Changes):
    """What changes about a degree or a course."""

    degree: ShortText = Field(default_factory=str, examples=["MSc Statistics"])
    school: ShortText = Field(default_factory=str)
    location: ShortText | None = None
    start_date: Day = Field(default_factory=date.today)
    end_date: Day | None = None
    description: LongText | None = None


class Education(BaseModel):
    """A degree or a course as it is stored."""

    id: int = Field(examples=[41])
    degree: str = Field(examples=["Master"])
    school: str = Field(examples=["INSA Toulouse"])
    location: str | None = Field(examples=["Lyon"])
    start_date: date
    end_date: date | None
    description: str | None = Field(examples=["Machine learning and statistics"])


@router.get("", responses=parts.LIST_RESPONSES)
async def educations(candidate_id: SignedInCandidate, database: Database) -> list[Education]:
    """The candidate's degrees and courses, the latest first."""
    found = await parts.owned(database, Stored, Education, candidate_id, Stored.start_date.desc())
    return [Education.model_validate(dict(row)) for row in found]


@router.post("", status_code=status.HTTP_201_CREATED, responses=parts.CREATE_RESPONSES)
async def create(new: NewEducation, candidate_id: SignedInCandidate, database: Database) -> Education:
    """Add a degree or a course."""
    made = await parts.create(database, Stored, Education, candidate_id, new.model_dump())
    return Education.model_validate(dict(made))


@router.patch("/{education_id}", responses=parts.OWN_RESPONSES)
async def change(
    education_id: PathId, changes: EducationChanges, candidate_id: SignedInCandidate, database: Database
) -> Education:
    """Change a degree or a course."""
    changed = await parts.change(
        database, Stored, Education, candidate_id, education_id, changes, DATES_IN_ORDER
    )
    return Education.model_validate(dict(changed))


@router.delete("/{education_id}", status_code=status.HTTP_204_NO_CONTENT, responses=parts.OWN_RESPONSES)
async def delete(education_id: PathId, candidate_id: SignedInCandidate, database: Database) -> None:
    """Delete a degree or a course."""
    await parts.remove(database, Stored, candidate_id, education_id)
