"""Whether a secret is strong enough; its value never leaves this module."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHORTEST = 16
"""Fewest characters of a secret: 16 characters of hexadecimal are 64 bits, beyond guessing over a network."""
FEWEST_DISTINCT = 6
"""Fewest different characters: 16 random hexadecimal digits have fewer in about 4 of 100,000 cases."""

_WORDS = (
    "admin",
    "administrator",
    "alembic",
    "change",
    "changeit",
    "changeme",
    "database",
    "default",
    "demo",
    "dummy",
    "example",
    "fixme",
    "foobar",
    "hunter",
    "insecure",
    "jwt",
    "key",
    "letmein",
    "login",
    "me",
    "my",
    "pass",
    "passwd",
    "password",
    "pgbouncer",
    "placeholder",
    "postgres",
    "postgresql",
    "production",
    "qwerty",
    "replace",
    "replaceme",
    "root",
    "sample",
    "secret",
    "staging",
    "test",
    "this",
    "todo",
    "token",
    "user",
    "welcome",
    "your",
)
_LONGEST_GUESS = 64  # a longer one is a key or a certificate; trying words on it takes time
_ONLY_WORDS = re.compile(f"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})+")
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "0123456789" * 4, "qwertyuiopasdfghjklzxcvbnm")


@dataclass(frozen=True)
class Secret:
    """A secret value: its role, the option it came from (`label`) and the vault variables that hold it."""

    role: str
    label: str
    value: str
    sources: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The variable to change: the vault's, when one holds the value."""
        return self.sources[0] if self.sources else self.label


def weakness(value: str, user_names: Iterable[str] = ()) -> str | None:
    """Why `value` is weak, as the end of a sentence that starts with "it"; None when it is strong enough."""
    if len(value) < SHORTEST:
        return f"it has {len(value)} characters, at least {SHORTEST} are needed"
    if len(set(value)) < FEWEST_DISTINCT:
        return f"it has only {len(set(value))} different characters, at least {FEWEST_DISTINCT} are needed"
    folded = value.casefold()
    if folded in {name.casefold() for name in user_names}:
        return "it is the same as a user name"
    if _made_of_words(folded):
        return "it is made of well-known words"
    if any(folded in run or folded in run[::-1] for run in _RUNS):
        return "it is a row of neighbouring characters"
    return None


def is_hidden(value: str) -> bool:
    """Whether messages may not contain `value`; well-known words they contain for other reasons."""
    return len(value) >= SHORTEST // 2 and not _made_of_words(value.casefold())


def nested_secrets(spec: Mapping[str, Any], value: Any, label: str) -> Iterator[tuple[str, str]]:
    """(label, secret) of every `no_log` string below an option of type dict, or list of dict."""
    options = spec.get("options") or {}
    if isinstance(value, list):
        for index, item in enumerate(value):
            shown = item.get("name", index) if isinstance(item, dict) else index
            yield from nested_secrets(spec, item, f"{label}[{shown}]")
    elif isinstance(value, dict):
        for name, sub in options.items():
            item = value.get(name)
            if item is None:
                continue
            if sub.get("no_log") and isinstance(item, str) and not name.endswith("_url"):
                yield f"{label}.{name}", item
            else:
                yield from nested_secrets(sub, item, f"{label}.{name}")


def shared(secrets: Iterable[Secret]) -> list[tuple[Secret, Secret]]:
    """Pairs of different secrets that have the same value: each later one with the first that has its value.

    One secret that several options use (they resolve to the same vault variable) is not a pair.
    """
    first: dict[str, Secret] = {}
    pairs: dict[tuple[str, str], tuple[Secret, Secret]] = {}
    for secret in secrets:
        if not secret.value:
            continue
        earlier = first.setdefault(secret.value, secret)
        if len(secret.sources) > 1:
            other = Secret(secret.role, secret.label, secret.value, secret.sources[1:])
            pairs.setdefault((other.name, secret.name), (other, secret))
        elif earlier.name != secret.name:
            pairs.setdefault((secret.name, earlier.name), (secret, earlier))
    return list(pairs.values())


def _made_of_words(folded: str) -> bool:
    letters = re.sub(r"[^a-z]", "", folded)
    mostly_letters = len(letters) * 2 >= len(folded) and len(letters) <= _LONGEST_GUESS
    return bool(letters) and mostly_letters and _ONLY_WORDS.fullmatch(letters) is not None
