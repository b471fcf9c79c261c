"""What the signed-in user is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response, status
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, func, select, update

from app.answers import AnySelect, PageFilter, page_answer, page_of
from app.auth import SignedIn
from app.database import Database
from app.fields import PathId
from app.models import Notification as Stored

router = APIRouter(prefix="/api/notifications", tags=["notifications"])

NotificationType = Literal["new_application", "status_change", "new_job", "message", "system"]


class Notification(BaseModel):
    """One message. What it is about may be gone since: then the related id is null."""

    id: int = Field(examples=[21])
    type: NotificationType
    title: str = Field(examples=["News of your application"])
    message: str = Field(examples=["Your application for Data Engineer is now: viewed."])
    related_job_id: int | None = Field(examples=[7])
    related_application_id: int | None = Field(examples=[11])
    is_read: bool
    read_at: datetime | None
    created_at: datetime


class NotificationPage(BaseModel):
    """A page of notifications; without `next_cursor` it is the last."""

    items: list[Notification]
    next_cursor: str | None = Field(examples=["MjAyNi0wMS0wNlQwOTozMDowMCswMDowMHw3"])


class NotificationFilter(PageFilter):
    """Which of the user's notifications, and which page of them."""

    unread: bool | None = Field(None, description="true: only unread ones; false: only read ones")


class Unread(BaseModel):
    """How many notifications are unread."""

    unread: int = Field(examples=[3])


class MarkedRead(BaseModel):
    """How many notifications were unread until now."""

    marked: int = Field(examples=[3])


_IS_READ = Stored.is_read.is_(True)
_COLUMNS = [
    _IS_READ.label("is_read") if name == "is_read" else getattr(Stored, name)
    for name in Notification.model_fields
]


def _unread_of(user_id: int) -> tuple[ColumnElement[bool], ...]:
    return Stored.user_id == user_id, Stored.is_read.is_not(True)


def list_statement(user_id: int, wanted: NotificationFilter) -> AnySelect:
    """The statement of one page."""
    statement = select(*_COLUMNS).where(Stored.user_id == user_id)
    if wanted.unread is not None:
        statement = statement.where(Stored.is_read.is_not(True) if wanted.unread else _IS_READ)
    return page_of(statement, Stored.created_at, Stored.id, wanted)


def unread_statement(user_id: int) -> AnySelect:
    """The statement that counts unread ones."""
    return select(func.count()).select_from(Stored).where(*_unread_of(user_id))


@router.get("", response_model=NotificationPage)
async def list_notifications(
    wanted: Annotated[NotificationFilter, Query()], asking: SignedIn, database: Database
) -> Response:
    """The user's notifications, newest first."""
    rows = (await database.execute(list_statement(asking.user_id, wanted))).all()
    return page_answer(rows, wanted.limit, "created_at")


@router.get("/unread-count")
async def unread_count(asking: SignedIn, database: Database) -> Unread:
    """How many of the user's notifications are unread."""
    return Unread(unread=await database.scalar(unread_statement(asking.user_id)) or 0)


@router.post(
    "/{notification_id}/read", responses={404: {"description": "There is no such notification of yours"}}
)
async def read(notification_id: PathId, asking: SignedIn, database: Database) -> Notification:
    """Mark one as read. Again is no error, and keeps the time of the first."""
    statement = (
        update(Stored)
        .where(Stored.id == notification_id, Stored.user_id == asking.user_id)
        .values(is_read=True, read_at=func.coalesce(Stored.read_at, func.now()))
        .returning(*_COLUMNS)
    )
    found = (await database.execute(statement)).mappings().one_or_none()
    if found is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, f"You have no notification with the id {notification_id}."
        )
    await database.commit()
    return Notification.model_validate(dict(found))


@router.post("/read-all")
async def read_all(asking: SignedIn, database: Database) -> MarkedRead:
    """Mark all of the user's notifications as read."""
    statement = update(Stored).where(*_unread_of(asking.user_id)).values(is_read=True, read_at=func.now())
    marked = (await database.execute(statement.returning(Stored.id))).all()
    await database.commit()
    return MarkedRead(marked=len(marked))
