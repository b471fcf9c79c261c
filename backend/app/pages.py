"""Keyset pages: an opaque cursor that stands for (time, id) of the last row shown."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from fastapi import HTTPException, status

from app.inputs import MAX_ID

MAX_PAGE = 100
DEFAULT_PAGE = 20


def encode_cursor(at: datetime, row_id: int) -> str:
    """A URL-safe text for the position after the row (`at`, `row_id`)."""
    raw = json.dumps([at.isoformat(), row_id], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """The position that `encode_cursor` wrote.

    Raises:
        HTTPException: 422 when it did not write this one.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        at, row_id = json.loads(raw)
        time = datetime.fromisoformat(at)
        # In UTC: PostgreSQL refuses some offsets that Python reads, of 16 hours or of microseconds.
        position = time.astimezone(UTC), row_id
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _unknown(cursor) from None
    if type(row_id) is not int or not 0 < row_id <= MAX_ID or time.tzinfo is None:
        raise _unknown(cursor)
    return position


def _unknown(cursor: str) -> HTTPException:
    return HTTPException(
        status.HTTP_422_UNPROCESSABLE_CONTENT,
        f"cursor {cursor[:40]!r} is none of ours; take next_cursor from the page before, or leave it out",
    )
