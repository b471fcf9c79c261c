"""Companies and the people who recruit for them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, false, true
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, WithId, WithTimes


class Company(WithId, WithTimes, Base):
    """An organisation that has jobs to fill."""

    __tablename__ = "companies"

    name: Mapped[str]
    description: Mapped[str | None]
    industry: Mapped[str | None]
    size: Mapped[str | None]
    website_url: Mapped[str | None]
    linkedin_url: Mapped[str | None]
    address: Mapped[str | None]
    city: Mapped[str | None]
    country: Mapped[str | None]
    logo_url: Mapped[str | None]


class Employer(WithId, WithTimes, Base):
    """A user with the role employer, and what they may do; may not have joined a company yet."""

    __tablename__ = "employers"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    # An employer's account outlives the company that it worked for.
    company_id: Mapped[int | None] = mapped_column(
        ForeignKey("companies.id", ondelete="SET NULL"), index=True
    )
    position: Mapped[str | None]
    department: Mapped[str | None]
    phone: Mapped[str | None]
    can_create_jobs: Mapped[bool | None] = mapped_column(server_default=true())
    can_manage_candidates: Mapped[bool | None] = mapped_column(server_default=true())
    is_admin: Mapped[bool | None] = mapped_column(server_default=false())
