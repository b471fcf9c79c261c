"""Applications of candidates for jobs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp, WithDeleted, WithId, one_of

APPLICATION_STATUSES = ("applied", "viewed", "shortlisted", "interview", "rejected", "accepted")


class JobApplication(WithId, WithDeleted, Base):
    """One application. Of those not rejected, a candidate has at most one for each job."""

    __tablename__ = "job_applications"
    __table_args__ = (
        one_of("check_application_status", "status", APPLICATION_STATUSES),
        Index(
            "unique_candidate_job_application",
            "candidate_id",
            "job_id",
            unique=True,
            postgresql_where=text("status <> 'rejected'"),
        ),
        Index("idx_job_applications_job_id_status", "job_id", "status"),
        Index("idx_job_applications_candidate_id_status", "candidate_id", "status"),
        Index("idx_job_applications_candidate_job", "candidate_id", "job_id"),
        Index(
            "idx_job_applications_job_id_applied_at",
            "job_id",
            "applied_at",
            "id",
            postgresql_include=["status", "candidate_id"],
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default="applied")
    cover_letter: Mapped[str | None]
    cover_letter_url: Mapped[str | None]
    cv_url: Mapped[str | None]
    notes: Mapped[str | None]
    applied_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    viewed_at: Mapped[Timestamp | None]
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
