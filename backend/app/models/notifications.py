"""What users are told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, Index, false, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp, WithCreated, WithId, one_of

NOTIFICATION_TYPES = ("new_application", "status_change", "new_job", "message", "system")


class Notification(WithId, WithCreated, Base):
    """A message to one user. It stays when the job or the application that it tells of is gone."""

    __tablename__ = "notifications"
    __table_args__ = (
        one_of("check_notification_type", "type", NOTIFICATION_TYPES),
        Index("idx_notifications_user_id_created_at", "user_id", "created_at", "id"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    title: Mapped[str]
    message: Mapped[str]
    # Indexed, as each deleted job or application looks for its notifications to empty these.
    related_job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    related_application_id: Mapped[int | None] = mapped_column(
        ForeignKey("job_applications.id", ondelete="SET NULL"), index=True
    )
    is_read: Mapped[bool | None] = mapped_column(server_default=false())
    read_at: Mapped[Timestamp | None]


class ArchivedNotification(Base):
    """A notification that was read long ago, as it was."""

    __tablename__ = "notifications_archive"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    title: Mapped[str]
    message: Mapped[str]
    related_job_id: Mapped[int | None]
    related_application_id: Mapped[int | None] = mapped_column(index=True)
    is_read: Mapped[bool | None]
    read_at: Mapped[Timestamp | None]
    created_at: Mapped[Timestamp | None]
    archived_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
