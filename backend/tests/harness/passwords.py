"""Passwords as they were stored once."""

from __future__ import annotations

import bcrypt


def by_bcrypt(password: str, prefix: bytes = b"2b") -> str:
    """A hash with few rounds, for the tests' speed; other than the package of today, of any length."""
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4))
    return hashed.replace(b"$2b$", b"$" + prefix + b"$").decode()
