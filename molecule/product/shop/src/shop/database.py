"""The shop's tables and its way to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Engine, ForeignKey, create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class Article(Base):
    """Something to buy."""

    __tablename__ = "articles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    cents: Mapped[int]


class Order(Base):
    """Somebody wants a number of one article."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"), index=True)
    number: Mapped[int]
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def engine(url: str) -> Engine:
    """Connections that can live with a pool by transaction: no statement is prepared."""
    return create_engine(url, pool_size=5, max_overflow=5, connect_args={"prepare_threshold": None})
