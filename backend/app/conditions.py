"""Which rows may be seen: conditions that several routes share."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, literal_column, or_

from app.models import Job


def published() -> ColumnElement[bool]:
    """Only published jobs. A literal, not a parameter: the partial indexes hold for this word alone.

    A deleted job is never published; check_job_deleted_not_published sees to it.
    """
    return Job.status == literal_column("'published'")


def unexpired() -> ColumnElement[bool]:
    """Only jobs that still take applications; one without `expires_at` does so until it is closed."""
    return or_(Job.expires_at.is_(None), Job.expires_at > func.now())
