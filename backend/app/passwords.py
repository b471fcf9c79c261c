"""Passwords: argon2id for new ones, bcrypt for those that are stored so already."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import HTTPException, status
from pydantic import Field

from app.inputs import StorableText
from app.workers import BusyError, Workers

# The least of OWASP's Password Storage Cheat Sheet for argon2id: 19 MiB, two iterations, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_BCRYPT = ("$2a$", "$2b$", "$2y$")
# Of a longer password bcrypt has always seen only the beginning; since 5.0 the package refuses it instead.
_BCRYPT_BYTES = 72
# Verified when there is no user, so that this takes as much work as when there is one.
_NOBODY = _hasher.hash(secrets.token_urlsafe())

# Both hash without holding Python's lock. Two threads are 38 MiB and, with a core or two for each worker of
# the service, all that a burst of sign-ins may take from its other requests.
_workers = Workers("passwords", threads=2, waiting=500)
BUSY_RETRY_SECONDS = 5

NewPassword = Annotated[
    StorableText,
    Field(
        min_length=12,
        max_length=128,
        description="12 to 128 characters; any will do",
        examples=["correct horse battery staple"],
    ),
]
# Not the rules of today: whoever chose one under other rules signs in as before.
GivenPassword = Annotated[
    StorableText, Field(min_length=1, max_length=1000, examples=["correct horse battery staple"])
]

Result = TypeVar("Result")


async def hash_password(password: str) -> str:
    """A hash to store.

    Raises:
        HTTPException: 503 when too many are to be hashed already.
    """
    return await _run(lambda: _hasher.hash(password))


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one of the hash; without a hash False, after the same work.

    Raises:
        HTTPException: 503 when too many are to be hashed already.
    """
    return await _run(lambda: _verify(password_hash, password))


def is_outdated(password_hash: str) -> bool:
    """Whether the password should be hashed anew: by bcrypt, or argon2 with other parameters."""
    return password_hash.startswith(_BCRYPT) or _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str | None, password: str) -> bool:
    if password_hash is not None and password_hash.startswith(_BCRYPT):
        try:
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
        except ValueError:  # no hash, for all that it begins like one
            password_hash = None
    try:
        matches = _hasher.verify(password_hash or _NOBODY, password)
    except (VerificationError, ValueError):  # another password; no hash at all
        return False
    return matches and password_hash is not None


async def _run(work: Callable[[], Result]) -> Result:
    try:
        return await _workers.run(work)
    except BusyError:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE,
            "Too many people sign in at this moment; try again shortly.",
            headers={"Retry-After": str(BUSY_RETRY_SECONDS)},
        ) from None
