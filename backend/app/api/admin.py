"""What administrators do: read the audit trail, and bring back a deleted job."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, status
from pydantic import BaseModel, Field
from sqlalchemy import text

from app.api.job_details import JobRecord
from app.auth import SignedInAdmin
from app.database import Database
from app.fields import PathId

router = APIRouter(prefix="/api", tags=["admin"])

ONLY_ADMINS: dict[int | str, dict[str, Any]] = {403: {"description": "Only for administrators"}}


class Change(BaseModel):
    """One change of a row."""

    id: int = Field(examples=[71])
    changed_at: datetime
    action: Literal["update", "soft_delete", "restore", "delete"]
    actor_id: int | None = Field(description="The user; none for a change that no request made", examples=[5])
    request_id: str | None = Field(
        description="As in the log and in the answer to that request", examples=["5f0c9d2e4b7a4c0e"]
    )
    changed: dict[str, list[Any] | None] = Field(
        description="By column, the value before and after; null where values are not kept, as they may be"
        " personal",
        examples=[{"status": ["published", "archived"], "description": None}],
    )


AUDIT_TRAIL = text("SELECT * FROM audit_trail(:of_table, :of_row, :at_most)")

# The status that the deletion changed is in the trail; a job that was archived before it stays so.
RESTORE = text("""
UPDATE jobs SET
    deleted_at = NULL,
    updated_at = now(),
    status = coalesce(
        (SELECT changed -> 'status' ->> 0 FROM audit_trail('jobs', :job_id, 100)
            WHERE action = 'soft_delete' ORDER BY id DESC LIMIT 1),
        status)
WHERE id = :job_id AND deleted_at IS NOT NULL
RETURNING *
""")


@router.get("/admin/audit/{table}/{row_id}", responses=ONLY_ADMINS)
async def audit(
    table: Literal["users", "jobs", "job_applications"],
    row_id: PathId,
    _admin: SignedInAdmin,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> list[Change]:
    """What was done to a row, the last change first; also of a row that is gone."""
    values = {"of_table": table, "of_row": row_id, "at_most": limit}
    found = (await database.execute(AUDIT_TRAIL, values)).mappings()
    return [Change.model_validate(dict(row)) for row in found]


@router.post(
    "/jobs/{job_id}/restore",
    responses={**ONLY_ADMINS, 404: {"description": "There is no deleted job with this id"}},
)
async def restore(job_id: PathId, _admin: SignedInAdmin, database: Database) -> JobRecord:
    """Bring a deleted job back, in the state that it was deleted in."""
    restored = (await database.execute(RESTORE, {"job_id": job_id})).mappings().one_or_none()
    if restored is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No deleted job has the id {job_id}.")
    await database.commit()
    return JobRecord.model_validate(dict(restored))
