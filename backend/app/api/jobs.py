"""Published jobs, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from app.answers import PageFilter, page_answer
from app.inputs import MAX_ID, StorableText
from app.limits import SearchDatabase
from app.statuses import JobType, LocationType

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


class JobFilter(PageFilter):
    """What a list of jobs may be narrowed by, and which page of it."""

    location_type: LocationType | None = None
    job_type: JobType | None = None
    location: StorableText | None = Field(
        None, min_length=1, max_length=200, description="Part of the place", examples=["Lyon"]
    )
    company_id: int | None = Field(None, ge=1, le=MAX_ID)
    search: StorableText | None = Field(
        None,
        min_length=1,
        max_length=200,
        description='Words of the title; "a phrase" and -without work as in search engines',
        examples=["data engineer -senior"],
    )
    salary_min: int | None = Field(
        None, ge=0, le=MAX_ID, description="Jobs that pay at least this; those without a salary are left out"
    )


class JobSummary(BaseModel):
    """A job as the list shows it."""

    id: int = Field(examples=[7])
    title: str = Field(examples=["Data Engineer"])
    company_id: int = Field(examples=[3])
    company_name: str = Field(examples=["Atelier Nova"])
    location: str | None = Field(examples=["Lyon"])
    location_type: LocationType
    job_type: JobType
    salary_min: int | None = Field(examples=[45_000])
    salary_max: int | None = Field(examples=[52_000])
    currency: str | None = Field(examples=["EUR"])
    is_featured: bool | None
    applications_count: int | None = Field(examples=[12])
    posted_at: datetime
    expires_at: datetime | None


class JobPage(BaseModel):
    """A page of jobs; without `next_cursor` it is the last."""

    items: list[JobSummary]
    next_cursor: str | None = Field(examples=["MjAyNi0wMS0wNlQwOTozMDowMCswMDowMHw3"])


# One text for all filters, not one put together for each request: that costs more than to run it. PostgreSQL
# plans it with the values, so a filter that is not given is gone before it looks for an index. The word
# published is a literal, since the partial indexes hold for it alone; a deleted job never has it. The search
# repeats the expression of idx_jobs_title_search to the letter, as another one would not use that index. The
# page comes first, and then its companies' names: most matches are on no page (measured: half the time).
LIST = text("""
SELECT page.id, page.title, page.company_id, companies.name AS company_name, page.location,
    page.location_type, page.job_type, page.salary_min, page.salary_max, page.currency, page.is_featured,
    page.applications_count, page.posted_at, page.expires_at
FROM (
    SELECT * FROM jobs
    WHERE jobs.status = 'published'
        AND (jobs.expires_at IS NULL OR jobs.expires_at > now())
        AND (CAST(:location_type AS text) IS NULL OR jobs.location_type = :location_type)
        AND (CAST(:job_type AS text) IS NULL OR jobs.job_type = :job_type)
        AND (CAST(:location AS text) IS NULL OR jobs.location ILIKE :location)
        AND (CAST(:company_id AS integer) IS NULL OR jobs.company_id = :company_id)
        AND (CAST(:search AS text) IS NULL OR to_tsvector('english'::regconfig, jobs.title)
            @@ websearch_to_tsquery('english'::regconfig, :search))
        AND (CAST(:salary_min AS integer) IS NULL
            OR coalesce(jobs.salary_max, jobs.salary_min) >= :salary_min)
        AND (CAST(:after_at AS timestamptz) IS NULL OR (jobs.posted_at, jobs.id) < (:after_at, :after_id))
    ORDER BY jobs.posted_at DESC, jobs.id DESC LIMIT :rows
) AS page JOIN companies ON companies.id = page.company_id
ORDER BY page.posted_at DESC, page.id DESC
""")


def list_values(wanted: JobFilter) -> dict[str, Any]:
    """The values of `LIST` for one page.

    Raises:
        HTTPException: 422 when the cursor is none of ours.
    """
    values = {
        "location_type": wanted.location_type,
        "job_type": wanted.job_type,
        "location": None if wanted.location is None else containing(wanted.location),
        "company_id": wanted.company_id,
        "search": wanted.search,
        "salary_min": wanted.salary_min,
    }
    return {**values, **wanted.position()}


def containing(part: str) -> str:
    """The pattern of LIKE for text that contains `part`, in which % and _ are only themselves."""
    for special in ("\\", "%", "_"):
        part = part.replace(special, f"\\{special}")
    return f"%{part}%"


@router.get("", response_model=JobPage)
async def list_jobs(wanted: Annotated[JobFilter, Query()], database: SearchDatabase) -> Response:
    """Published jobs that match all given filters, newest first, until they expire."""
    rows = (await database.execute(LIST, list_values(wanted))).all()
    return page_answer(rows, wanted.limit, "posted_at")
