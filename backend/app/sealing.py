"""OAuth tokens at rest: `sealed:KEYID:TEXT`, where TEXT is Fernet's and KEYID names the key it needs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from cryptography.fernet import Fernet, InvalidToken
from psycopg.rows import dict_row

PREFIX = "sealed"
TOKEN_COLUMNS = ("access_token", "refresh_token", "id_token")
HOW_TO = "make one: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class SealError(Exception):
    """A token that cannot be opened; the message names the key, never the token."""


class Sealer:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """Take keys, the one to seal with first.

        Raises:
            ValueError: there is none, or one is no Fernet key.
        """
        if not keys:
            raise ValueError(f"has no key; {HOW_TO}")
        self._keys: dict[str, Fernet] = {}
        for number, key in enumerate(keys, start=1):
            try:
                self._keys[key_id(key)] = Fernet(key)
            except ValueError:
                raise ValueError(
                    f"has a key, number {number}, that is not 32 bytes in URL-safe base64; {HOW_TO}"
                ) from None
        self._first = key_id(keys[0])

    def seal(self, token: str) -> str:
        """The token, for nobody to read without the key."""
        sealed = self._keys[self._first].encrypt(token.encode()).decode()
        return f"{PREFIX}:{self._first}:{sealed}"

    def open(self, sealed: str) -> str:
        """The token that was sealed.

        Raises:
            SealError: it is in the clear, needs a key that is not there, or was changed.
        """
        prefix, _, rest = sealed.partition(":")
        if prefix != PREFIX:
            raise SealError("is stored in the clear; run python -m app.cli seal-tokens")
        key, _, content = rest.partition(":")
        if key not in self._keys:
            # Anything but a key's name may be a part of a token.
            name = key if re.fullmatch("[0-9a-f]{8}", key) else "of no known name"
            raise SealError(f"needs the key {name}, which is not in TOKEN_KEYS; add it")
        try:
            return self._keys[key].decrypt(content.encode()).decode()
        except InvalidToken:
            raise SealError(f"was not sealed by the key {key}, or was changed since") from None

    def is_current(self, stored: str | None) -> bool:
        """Whether nothing is to be done: no token, or one sealed with the first key."""
        return stored is None or stored.startswith(f"{PREFIX}:{self._first}:")

    def renew(self, stored: str | None) -> str | None:
        """The same token sealed with the first key, whether it is in the clear or sealed with another.

        Raises:
            SealError: it is sealed and cannot be opened.
        """
        if stored is None or self.is_current(stored):
            return stored
        return self.seal(self.open(stored) if stored.startswith(f"{PREFIX}:") else stored)


def key_id(key: str) -> str:
    """The name of a key, which tells nothing of it: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def seal_tokens(sealer: Sealer, tokens: Mapping[str, str | None]) -> dict[str, str | None]:
    """Each given token sealed, None where there is none."""
    return {name: None if token is None else sealer.seal(token) for name, token in tokens.items()}


def open_tokens(sealer: Sealer, stored: Mapping[str, Any]) -> dict[str, str | None]:
    """The tokens of a stored account, in the clear.

    Raises:
        SealError: one of them cannot be opened.
    """
    return {name: None if stored[name] is None else sealer.open(str(stored[name])) for name in TOKEN_COLUMNS}


class Resealed(NamedTuple):
    """What `reseal` did: accounts now sealed with the first key, and ids of those it could not open."""

    renewed: int
    unopened: list[int]


def reseal(connection: psycopg.Connection[Any], sealer: Sealer, batch: int = 500) -> Resealed:
    """Seal with the first key every token in `accounts` that is not, `batch` rows a transaction.

    It can be run again, and while the service works. The times of the rows stay as they are. It needs the
    table accounts alone, so it runs before the migration that refuses tokens in the clear.
    """
    renewed, unopened, last = 0, list[int](), 0
    with connection.cursor(row_factory=dict_row) as cursor:
        while True:
            with connection.transaction():
                rows = cursor.execute(
                    "SELECT id, access_token, refresh_token, id_token FROM accounts"
                    " WHERE id > %s AND num_nonnulls(access_token, refresh_token, id_token) > 0"
                    " ORDER BY id LIMIT %s FOR UPDATE",
                    (last, batch),
                ).fetchall()
                if not rows:
                    return Resealed(renewed, unopened)
                last = rows[-1]["id"]
                changed = []
                for row in rows:
                    if all(sealer.is_current(row[name]) for name in TOKEN_COLUMNS):
                        continue
                    try:
                        changed.append((row["id"], *(sealer.renew(row[name]) for name in TOKEN_COLUMNS)))
                    except SealError:
                        unopened.append(row["id"])
                if changed:
                    cursor.execute(
                        "UPDATE accounts SET access_token = renewed.access_token,"
                        " refresh_token = renewed.refresh_token, id_token = renewed.id_token"
                        " FROM unnest(%s::integer[], %s::text[], %s::text[], %s::text[])"
                        " AS renewed (id, access_token, refresh_token, id_token)"
                        " WHERE accounts.id = renewed.id",
                        [list(column) for column in zip(*changed, strict=True)],
                    )
                renewed += len(changed)
