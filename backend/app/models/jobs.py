"""Jobs, and the indexes that finding one needs."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp, WithDeleted, WithId, WithTimes, one_of

JOB_TYPES = ("full_time", "part_time", "contract", "temporary", "internship")
LOCATION_TYPES = ("on_site", "remote", "hybrid")
JOB_STATUSES = ("draft", "published", "closed", "archived")

PUBLISHED = text("status = 'published'")
# The configuration is named: an index cannot hang on the session's default_text_search_config.
TITLE_VECTOR = "to_tsvector('english'::regconfig, title)"


class Job(WithId, WithTimes, WithDeleted, Base):
    """A job of a company, written by one of its employers."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("check_job_type", "job_type", JOB_TYPES),
        one_of("check_job_location_type", "location_type", LOCATION_TYPES),
        one_of("check_job_status", "status", JOB_STATUSES),
        CheckConstraint(
            "salary_min IS NULL OR salary_max IS NULL OR salary_min <= salary_max",
            name="check_job_salary_range",
        ),
        CheckConstraint(
            "posted_at IS NULL OR expires_at IS NULL OR posted_at <= expires_at", name="check_job_dates"
        ),
        # The list is ordered by posted_at: a published job without it would be on no page.
        CheckConstraint("status <> 'published' OR posted_at IS NOT NULL", name="check_job_published_date"),
        Index("idx_jobs_status_location_type", "status", "location_type", postgresql_where=PUBLISHED),
        Index("idx_jobs_status_job_type", "status", "job_type", postgresql_where=PUBLISHED),
        Index("idx_jobs_company_id_status", "company_id", "status", postgresql_where=PUBLISHED),
        Index("idx_jobs_employer_id_status", "employer_id", "status"),
        Index("idx_jobs_published_posted_at_id", "posted_at", "id", postgresql_where=PUBLISHED),
        Index("idx_jobs_created_at_id", "created_at", "id"),
        Index(
            "idx_jobs_location_trigram",
            "location",
            postgresql_using="gin",
            postgresql_ops={"location": "gin_trgm_ops"},
            postgresql_where=PUBLISHED,
        ),
        CheckConstraint(
            "deleted_at IS NULL OR status <> 'published'", name="check_job_deleted_not_published"
        ),
        Index("idx_jobs_title_search", text(TITLE_VECTOR), postgresql_using="gin"),
    )

    employer_id: Mapped[int] = mapped_column(ForeignKey("employers.id", ondelete="CASCADE"))
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(index=True)
    description: Mapped[str]
    requirements: Mapped[str | None]
    responsibilities: Mapped[str | None]
    benefits: Mapped[str | None]
    job_type: Mapped[str]
    location_type: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="draft")
    location: Mapped[str | None]
    salary_min: Mapped[int | None]
    salary_max: Mapped[int | None]
    currency: Mapped[str | None] = mapped_column(server_default="EUR")
    is_featured: Mapped[bool | None] = mapped_column(server_default=false())
    views_count: Mapped[int | None] = mapped_column(server_default="0")
    applications_count: Mapped[int | None] = mapped_column(server_default="0")
    posted_at: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp | None]
