"""Kinds of fields that several bodies and paths have."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from app.inputs import MAX_ID, StorableText

PathId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[7])]


def _trimmed(value: str) -> str:
    # Not by strip_whitespace: after a validator of ours, pydantic looks at the length before it strips.
    trimmed = value.strip()
    if not trimmed:
        raise ValueError("is blank")
    return trimmed


# A name or a title: not blank, and without blanks around it.
ShortText = Annotated[StorableText, StringConstraints(min_length=1, max_length=200), AfterValidator(_trimmed)]
LongText = Annotated[StorableText, StringConstraints(max_length=20_000)]
# Only what a browser opens as a page: a javascript: address would run in the pages that show it as a link.
WebAddress = Annotated[StorableText, StringConstraints(max_length=2_000, pattern=r"^https?://\S+$")]


# JSON's own types and no others: pydantic would also take true for 1, "yes" for true, and 0 for 1970.
Whole = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _a_day(value: object) -> object:
    if not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("is no day; write it as 2026-01-31")
    return value


def _a_moment(value: object) -> object:
    if not (isinstance(value, str) and _DAY.match(value)):
        raise ValueError("is no moment; write it as 2026-01-31T09:30:00+01:00")
    return value


def _in_utc(value: datetime) -> datetime:
    # PostgreSQL refuses an offset of 16 hours or more, which Python allows.
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Day = Annotated[date, BeforeValidator(_a_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(_a_moment), AfterValidator(_in_utc)]
