"""SCRAM-SHA-256 verifiers as PostgreSQL stores them, so that the server need never see a password.

RFC 5802 (SCRAM), section 3, with the hash of RFC 7677; the stored form is PostgreSQL's
`SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, the last three in base64 (src/common/scram-common.c).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re

DEFAULT_ITERATIONS = 4096  # what PostgreSQL 15 uses itself, and cannot change before 16
SALT_BYTES = 16
VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>[1-9]\d{0,9}):(?P<salt>[A-Za-z0-9+/=]+)"
    r"\$(?P<stored>[A-Za-z0-9+/=]+):(?P<server>[A-Za-z0-9+/=]+)"
)


def password_problem(password: str) -> str | None:
    """Return why this password cannot be used, without repeating it; None when it can.

    SCRAM runs a password through SASLprep (RFC 4013) first. For printable ASCII that changes nothing, so
    only that is allowed: no Unicode tables are needed, and PostgreSQL, pgBouncer and libpq agree on it.
    """
    if not password:
        return "the password is empty, and PostgreSQL would store none; give one, or leave the key out"
    if VERIFIER.fullmatch(password):
        return "the password is a SCRAM verifier; give the plaintext, the verifier is made from it"
    if any(not " " <= character <= "~" for character in password):
        return "the password has characters outside printable ASCII (space to ~); scripts/secrets makes one"
    return None


def make_verifier(password: str, *, salt: bytes | None = None, iterations: int = DEFAULT_ITERATIONS) -> str:
    """Return a verifier for `ALTER ROLE … PASSWORD`. The salt, in bytes, is random unless given.

    Raises ValueError for a password that `password_problem` refuses.
    """
    problem = password_problem(password)
    if problem:
        raise ValueError(problem)
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    stored_key, server_key = _keys(password, salt, iterations)
    encoded = [base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def matches(password: str, stored: str | None) -> bool:
    """Return whether the stored verifier is this password's. None, or an md5 hash, never is."""
    parts = VERIFIER.fullmatch(stored or "")
    if parts is None or password_problem(password):
        return False
    try:
        salt, stored_key, server_key = (
            base64.b64decode(parts[name], validate=True) for name in ("salt", "stored", "server")
        )
    except binascii.Error:
        return False
    expected = _keys(password, salt, int(parts["iterations"]))
    return hmac.compare_digest(expected[0], stored_key) and hmac.compare_digest(expected[1], server_key)


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey (RFC 5802, section 3), 32 bytes each."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
