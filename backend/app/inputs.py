"""What may come in from outside, in all routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

# The largest id that an integer column holds.
MAX_ID = 2**31 - 1


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("contains the character NUL, which PostgreSQL's text cannot hold; leave it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can write one half alone, \ud800; it stands for no character.
        raise ValueError("contains half of a surrogate pair, which is no character; leave it out") from None
    return value


StorableText = Annotated[str, AfterValidator(_storable)]
