"""Candidates and the parts of their profile."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, ForeignKey, Index, true
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp, WithId, WithTimes, one_of

SKILL_CATEGORIES = ("technical", "soft", "language")


class Candidate(WithId, WithTimes, Base):
    """A person who looks for work; one for each user with the role candidate."""

    __tablename__ = "candidates"
    __table_args__ = (
        CheckConstraint(
            "salary_expectation_min IS NULL OR salary_expectation_max IS NULL"
            " OR salary_expectation_min <= salary_expectation_max",
            name="check_candidate_salary_range",
        ),
        Index("idx_candidates_user_id", "user_id"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    phone: Mapped[str | None]
    location: Mapped[str | None]
    linkedin_url: Mapped[str | None]
    website_url: Mapped[str | None]
    profile_picture_url: Mapped[str | None]
    title: Mapped[str | None]
    summary: Mapped[str | None]
    years_experience: Mapped[int | None]
    salary_expectation_min: Mapped[int | None]
    salary_expectation_max: Mapped[int | None]
    cv_url: Mapped[str | None]
    cv_filename: Mapped[str | None]
    cv_uploaded_at: Mapped[Timestamp | None]


class CandidateCv(WithId, WithTimes, Base):
    """A stored CV; the file itself is elsewhere."""

    __tablename__ = "candidate_cvs"

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"), index=True)
    filename: Mapped[str]
    file_path: Mapped[str]
    file_size: Mapped[int | None]
    is_active: Mapped[bool | None] = mapped_column(server_default=true())


class Experience(WithId, WithTimes, Base):
    """A position that the candidate holds or held."""

    __tablename__ = "experiences"
    __table_args__ = (Index("idx_experiences_candidate_id_current", "candidate_id", "is_current"),)

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"))
    title: Mapped[str]
    company: Mapped[str]
    location: Mapped[str | None]
    start_date: Mapped[date]
    end_date: Mapped[date | None]
    is_current: Mapped[bool | None]
    description: Mapped[str | None]


class Education(WithId, WithTimes, Base):
    """A degree or a course."""

    __tablename__ = "educations"

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"), index=True)
    degree: Mapped[str]
    school: Mapped[str]
    location: Mapped[str | None]
    start_date: Mapped[date]
    end_date: Mapped[date | None]
    description: Mapped[str | None]


class Skill(WithId, WithTimes, Base):
    """Something that the candidate can do."""

    __tablename__ = "skills"
    __table_args__ = (
        one_of("check_skill_category", "category", SKILL_CATEGORIES),
        Index("idx_skills_candidate_id_name", "candidate_id", "name"),
    )

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"))
    name: Mapped[str]
    level: Mapped[int]
    category: Mapped[str]
