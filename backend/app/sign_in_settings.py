"""Settings of signing in: tokens, mail, rate limits, and the keys of OAuth tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.attempts import DEFAULTS, FORM, Limit, parse_limits
from app.mail_transports import URL_FORMS, parse_mail_url, sender_domain
from app.sealing import Sealer


class SignInSettings(BaseSettings):
    """The part of `app.settings.Settings` that is about people who sign in."""

    access_token_minutes: int = Field(
        default=15, ge=1, le=1440, description="Minutes that an access token is good; it cannot be revoked"
    )
    refresh_token_days: int = Field(
        default=30, ge=1, le=365, description="Days that a session lasts without being used"
    )
    sign_in_floor_seconds: float = Field(
        default=0.5,
        ge=0,
        le=5,
        description="Seconds that a refused login, a registration and the request for a reset take at least,"
        " so that their time does not tell whether there is such a user; more than a bcrypt hash needs",
    )
    sign_in_needs_verified_email: bool = Field(
        default=False,
        description="Whether only users with a verified address may log in. If not, registering an address"
        " and logging in tells whether it was free; if so, MAIL_URL has to send mail",
    )
    mail_url: SecretStr = Field(
        default=SecretStr("log:"),
        description=f"How mail leaves: {URL_FORMS}, which sends nothing and warns of that at the start: the"
        " service works without mail, but nobody can verify an address or reset a password",
    )
    mail_from: str | None = Field(
        default=None,
        validate_default=True,
        description="The sender, like IntoWork <no-reply@intowork.example>; needed unless MAIL_URL is log:",
    )
    public_url: str | None = Field(
        default=None,
        validate_default=True,
        description="Where people open the site, for the links in mails, for example https://intowork.example;"
        " needed unless MAIL_URL is log:",
    )
    token_keys: SecretStr | None = Field(
        default=None,
        description="Fernet keys for OAuth tokens, separated by commas: the first seals, all open."
        " Without it no account can be linked",
    )
    rate_limits: Annotated[dict[str, Limit], NoDecode] = Field(
        default=DEFAULTS, description=f"Limits that differ from the defaults in app/attempts.py: {FORM}"
    )
    rate_limit_factor: float = Field(
        default=1, ge=0.1, le=1_000_000, description="Multiplies all of them; large for a load test"
    )

    @field_validator("mail_url")
    @classmethod
    def _known_way(cls, value: SecretStr) -> SecretStr:
        parse_mail_url(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_sender(cls, value: str | None, info: ValidationInfo) -> str | None:
        _needed_for_mail(value, info, "say from whom: IntoWork <no-reply@intowork.example>")
        if value is not None:
            sender_domain(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _plain_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        _needed_for_mail(value, info, "say where its links lead: https://intowork.example")
        if value is None:
            return None
        scheme, _, rest = value.partition("://")
        if (
            scheme not in ("http", "https")
            or not rest
            or not value.isascii()
            or any(c in rest for c in "?# @")
        ):
            raise ValueError(f"is {value!r}; write https://HOST or https://HOST/PATH, without ? and #")
        return value.rstrip("/")

    @field_validator("token_keys")
    @classmethod
    def _fernet_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Sealer(_split(value))
        return value

    @field_validator("rate_limits", mode="before")
    @classmethod
    def _known_limits(cls, value: object) -> object:
        return parse_limits(value) if isinstance(value, str) else value

    @property
    def sealer(self) -> Sealer | None:
        """What seals OAuth tokens; None without TOKEN_KEYS."""
        return None if self.token_keys is None else Sealer(_split(self.token_keys))


def _split(keys: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in keys.get_secret_value().split(",") if part.strip())


def _needed_for_mail(value: str | None, info: ValidationInfo, remedy: str) -> None:
    # Absent when it is wrong itself, which is told then.
    mail_url: SecretStr | None = info.data.get("mail_url")
    if value is None and mail_url is not None and mail_url.get_secret_value() != "log:":
        raise ValueError(f"is missing, and MAIL_URL sends mail; {remedy}")
