"""How often what may be tried, and how the setting RATE_LIMITS changes that."""

from __future__ import annotations

import re
from typing import NamedTuple

FORM = "ACTION.address=HITS/SECONDS or ACTION.account=HITS/SECONDS, separated by commas"
MAX_HITS = 1_000_000
MAX_SECONDS = 86_400


class Limit(NamedTuple):
    """`hits` in a window of `seconds`, which begins with the first of them."""

    hits: int
    seconds: int


# Of an address more than of an account: a whole office may come from one.
DEFAULTS = {
    "login.address": Limit(10, 60),
    "login.account": Limit(5, 900),
    "register.address": Limit(20, 3600),
    "register.account": Limit(3, 3600),
    "refresh.address": Limit(60, 60),
    "logout.address": Limit(60, 60),
    "logout_everywhere.address": Limit(60, 60),
    "logout_everywhere.account": Limit(20, 3600),
    "password_reset_request.address": Limit(10, 900),
    "password_reset_request.account": Limit(3, 3600),
    "password_reset_confirm.address": Limit(10, 900),
    "verify_email_request.address": Limit(10, 900),
    "verify_email_request.account": Limit(3, 3600),
    "verify_email_confirm.address": Limit(20, 900),
    "purge.address": Limit(10, 900),
    "purge.account": Limit(5, 900),
}


def parse_limits(text: str) -> dict[str, Limit]:
    """All limits, those of `text` in place of the defaults.

    Raises:
        ValueError: the sentence says what is wrong.
    """
    limits = dict(DEFAULTS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"([a-z_.]+)=([0-9]{1,7})/([0-9]{1,5})", part)
        if found is None:
            raise ValueError(f"has {part!r}; write {FORM}")
        name, hits, seconds = found[1], int(found[2]), int(found[3])
        if name not in DEFAULTS:
            raise ValueError(f"has no limit named {name!r}; there are {', '.join(DEFAULTS)}")
        if not 1 <= hits <= MAX_HITS or not 1 <= seconds <= MAX_SECONDS:
            raise ValueError(f"has {part!r}; 1 to {MAX_HITS} hits in 1 to {MAX_SECONDS} seconds are possible")
        limits[name] = Limit(hits, seconds)
    return limits
