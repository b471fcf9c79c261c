"""What employers write about a job, new or changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.changes import Changes, in_order
from app.fields import LongText, Moment, ShortText, Whole
from app.inputs import MAX_ID
from app.statuses import JobType, LocationType

# How far ahead a job may expire.
LONGEST = timedelta(days=366)


def _to_come(moment: datetime) -> datetime:
    now = datetime.now(UTC)
    if moment <= now:
        raise ValueError("has passed already; name a moment to come")
    if moment > now + LONGEST:
        raise ValueError(f"is more than {LONGEST.days} days ahead; name an earlier moment")
    return moment


Salary = Annotated[Whole, Field(ge=0, le=MAX_ID, description="A year, before taxes", examples=[45_000])]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), Field(examples=["EUR"])]
Expiry = Annotated[
    Moment,
    AfterValidator(_to_come),
    Field(description=f"Listed until then; at most {LONGEST.days} days ahead"),
]


SALARIES_IN_ORDER = in_order("salary_min", "salary_max")
DATES_IN_ORDER = in_order("posted_at", "expires_at")


class NewJob(BaseModel):
    """A job as it is first written down."""

    model_config = ConfigDict(extra="forbid")

    title: ShortText = Field(examples=["Data Engineer"])
    description: LongText = Field(min_length=1, examples=["You keep our data flowing."])
    requirements: LongText | None = None
    responsibilities: LongText | None = None
    benefits: LongText | None = None
    location: ShortText | None = Field(None, examples=["Lyon"])
    location_type: LocationType
    job_type: JobType
    salary_min: Salary | None = None
    salary_max: Salary | None = None
    currency: Currency = "EUR"
    expires_at: Expiry | None = None

    @model_validator(mode="after")
    def _salary_range(self) -> NewJob:
        SALARIES_IN_ORDER(vars(self))
        return self


class JobChanges(Changes):
    """What changes about a job."""

    # Not null in the table: a factory is a default that the description does not show.
    title: ShortText = Field(default_factory=str, examples=["Senior Data Engineer"])
    description: LongText = Field(default_factory=str, min_length=1)
    requirements: LongText | None = None
    responsibilities: LongText | None = None
    benefits: LongText | None = None
    location: ShortText | None = None
    location_type: LocationType = Field(default_factory=lambda: "on_site")
    job_type: JobType = Field(default_factory=lambda: "full_time")
    salary_min: Salary | None = None
    salary_max: Salary | None = None
    currency: Currency = Field(default_factory=str)
    expires_at: Expiry | None = None
