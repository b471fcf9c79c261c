"""What the environment tells the application, checked before anything starts."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.sign_in_settings import SignInSettings

DRIVER = "postgresql+psycopg"
URL_FORM = f"{DRIVER}://USER:PASSWORD@HOST:PORT/DATABASE"
JWT_SECRET_MIN_LENGTH = 32

AnySettings = TypeVar("AnySettings", bound="DatabaseSettings")


class DatabaseSettings(BaseSettings):
    """What a command needs that only talks to the database."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr = Field(description=f"The pooled endpoint: {URL_FORM}")

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, value: SecretStr) -> SecretStr:
        try:
            url = make_url(value.get_secret_value())
        except ArgumentError:
            raise ValueError(f"is no URL; write {URL_FORM}") from None
        if url.drivername != DRIVER:
            raise ValueError(f"begins with {url.drivername}://, only {DRIVER}:// works; write {URL_FORM}")
        missing = [part for part in ("username", "host", "database") if not getattr(url, part)]
        if missing:
            raise ValueError(f"has no {', no '.join(missing)}; write {URL_FORM}")
        if "options" in url.query:
            raise ValueError(
                "has ?options=, which pgBouncer refuses or drops; set it on the role: ALTER ROLE … SET …"
            )
        return value

    @property
    def url(self) -> URL:
        """The database's URL, in parts."""
        return make_url(self.database_url.get_secret_value())


class Settings(SignInSettings, DatabaseSettings):
    """All settings of the service. Each is the environment variable of the same name in capitals."""

    environment: Literal["development", "staging", "production"] = "development"
    release_id: str = Field(default="unreleased", description="Which release this is; told by /health")
    jwt_secret: SecretStr = Field(description=f"Signs tokens; at least {JWT_SECRET_MIN_LENGTH} characters")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins that browsers may call from, separated by commas"
    )
    database_pool_size: int = Field(default=20, ge=1, le=500, description="Connections kept, per worker")
    database_max_overflow: int = Field(default=10, ge=0, le=500, description="Further ones under load")
    database_pool_recycle: int = Field(default=3600, ge=1, description="Seconds until one is replaced")
    database_pool_timeout: float = Field(default=10, gt=0, le=60, description="Seconds to wait for one")
    database_connect_timeout: int = Field(default=2, ge=1, le=30, description="Seconds to make one")
    database_wait_seconds: float = Field(
        default=5, gt=0, le=60, description="Seconds without an answer to anyone until requests get 503"
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1_024, le=104_857_600, description="Bytes that a request's body may have"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which level on the service's own lines are logged"
    )
    search_timeout_ms: int = Field(
        default=3_000, ge=1, le=30_000, description="Milliseconds that the list of jobs may take"
    )
    dashboard_timeout_ms: int = Field(
        default=5_000, ge=1, le=30_000, description="Milliseconds that an employer's figures may take"
    )
    views_flush_seconds: float = Field(
        default=5, gt=0, le=3_600, description="Seconds until counted views of jobs are written"
    )
    drain_seconds: float = Field(
        default=3,
        ge=0,
        le=300,
        description="Seconds that a stopping worker still serves, for the proxy to notice",
    )

    @field_validator("jwt_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr) -> SecretStr:
        length = len(value.get_secret_value())
        if length < JWT_SECRET_MIN_LENGTH:
            raise ValueError(
                f"has {length} characters, at least {JWT_SECRET_MIN_LENGTH} are needed;"
                " make one: openssl rand -base64 48"
            )
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _plain_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, _, host = origin.partition("://")
            if scheme not in ("http", "https") or not host or "/" in host or "*" in host:
                raise ValueError(
                    f"has {origin!r}; write origins as https://HOST or https://HOST:PORT,"
                    " without path or wildcard, separated by commas"
                )
        return value


class SettingsError(Exception):
    """The environment does not make a configuration; the message lists every problem."""


def load(kind: type[AnySettings]) -> AnySettings:
    """Read settings of `kind` from the environment.

    Raises:
        SettingsError: one line for each variable that is missing or wrong. Secrets are not shown.
    """
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError(_explain(kind, error)) from None


def _explain(kind: type[DatabaseSettings], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0])
        description = kind.model_fields[field].description
        hint = f" ({description})" if description else ""
        if problem["type"] == "missing":
            lines.append(f"  {field.upper()} is missing{hint}")
        elif problem["type"] == "value_error":
            lines.append(f"  {field.upper()} {problem['ctx']['error']}")
        else:
            lines.append(f"  {field.upper()}: {problem['msg']}{hint}")
    count = len(lines)
    return "\n".join(
        [f"{count} setting{'s' if count > 1 else ''} in the environment cannot be used:", *lines]
    )


@cache
def settings() -> Settings:
    """The service's settings, read once; ends the process with the list of problems when they are wrong."""
    try:
        return load(Settings)
    except SettingsError as error:
        sys.exit(str(error))
