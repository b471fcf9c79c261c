"""What all tables share: names of constraints, the words of a closed set, primary key and times."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from sqlalchemy import CheckConstraint, DateTime, Identity, Integer, MetaData, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# The names that PostgreSQL gives by itself, so that a constraint is called the same whether a migration named
# it or not. Check constraints and the indexes that migrations add always have a name of their own.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}

Timestamp = Annotated[datetime, mapped_column(DateTime(timezone=True))]


class Base(DeclarativeBase):
    """Declarative base; a `str` is PostgreSQL's text."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {str: Text()}  # noqa: RUF012 - SQLAlchemy's own name and form


class WithId:
    """An integer primary key that the database assigns, or that a bulk load may bring along."""

    id: Mapped[int] = mapped_column(Integer, Identity(always=False), primary_key=True, sort_order=-1)


class WithCreated:
    """The time of the insert, by the database's clock."""

    created_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), sort_order=1
    )


class WithTimes(WithCreated):
    """The times of the insert and of the last change."""

    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now(), sort_order=2
    )


class WithDeleted:
    """When a row was deleted that stays, to be looked up or brought back; NULL while it is live."""

    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), sort_order=3)


def one_of(name: str, column: str, words: tuple[str, ...]) -> CheckConstraint:
    """A check constraint that holds `column` to lower-case `words`.

    Text with a check, not an enum: a new word is then one constraint changed online, and usable at once.
    """
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)
