"""Opaque tokens: the person gets the token, the database its hash."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

from pydantic import Field

from app.inputs import StorableText

TOKEN_BYTES = 32

GivenToken = Annotated[
    StorableText,
    Field(min_length=1, max_length=200, examples=["ZK3lJ3mXyQ0u8mR7rLrIu3eW2dG5bq9VYwZ4c1nT0aE"]),
]


def new_token() -> str:
    """256 random bits, to be used in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """What is stored of a token. Nothing slow or salted: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()
