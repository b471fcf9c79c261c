"""People who sign in, and what signing in needs."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp, WithCreated, WithDeleted, WithId, WithTimes, one_of

USER_ROLES = ("candidate", "employer", "admin")
SEALED_TOKENS = " AND ".join(
    f"({column} IS NULL OR {column} LIKE 'sealed:%')"
    for column in ("access_token", "refresh_token", "id_token")
)


class User(WithId, WithTimes, WithDeleted, Base):
    """A person, with exactly one role."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("check_user_role", "role", USER_ROLES),
        Index("unique_users_email_lower", text("lower(email)"), unique=True),
    )

    email: Mapped[str] = mapped_column(unique=True)
    email_verified: Mapped[Timestamp | None]
    password_hash: Mapped[str | None]
    name: Mapped[str | None]
    image: Mapped[str | None]
    clerk_id: Mapped[str | None] = mapped_column(unique=True)
    role: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    is_active: Mapped[bool | None] = mapped_column(server_default=true())


class Account(WithId, WithTimes, Base):
    """A sign-in by another provider (OAuth); its tokens as `app.sealing` writes them."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("user_id", "provider", "provider_account_id", name="unique_user_provider_account"),
        Index("unique_accounts_provider_account", "provider", "provider_account_id", unique=True),
        CheckConstraint(SEALED_TOKENS, name="check_account_tokens_sealed"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    type: Mapped[str]
    provider: Mapped[str]
    provider_account_id: Mapped[str]
    refresh_token: Mapped[str | None]
    access_token: Mapped[str | None]
    id_token: Mapped[str | None]
    expires_at: Mapped[int | None]
    token_type: Mapped[str | None]
    scope: Mapped[str | None]
    session_state: Mapped[str | None]


class Session(WithId, WithTimes, Base):
    """A signed-in browser."""

    __tablename__ = "sessions"
    __table_args__ = (Index("idx_sessions_expires", "expires"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    session_token: Mapped[str] = mapped_column(unique=True)
    expires: Mapped[Timestamp]


class VerificationToken(WithId, WithCreated, Base):
    """A single-use token sent to an address that is to be verified."""

    __tablename__ = "verification_tokens"
    __table_args__ = (
        UniqueConstraint("identifier", "token", name="unique_identifier_active_token"),
        Index("idx_verification_tokens_expires", "expires"),
    )

    identifier: Mapped[str]
    token: Mapped[str] = mapped_column(unique=True)
    expires: Mapped[Timestamp]


class PasswordResetToken(WithId, WithCreated, Base):
    """A single-use token to set a new password."""

    __tablename__ = "password_reset_tokens"
    __table_args__ = (
        Index("idx_password_reset_tokens_expires", "expires_at", postgresql_where=text("used_at IS NULL")),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[Timestamp]
    used_at: Mapped[Timestamp | None]


class RateLimit(Base):
    """How often something was tried in the current window; shared by all workers, colours and hosts."""

    __tablename__ = "rate_limits"
    __table_args__ = (
        Index("idx_rate_limits_window_start", "window_start"),
        {"prefixes": ["UNLOGGED"]},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    window_start: Mapped[Timestamp]
    hits: Mapped[int]
