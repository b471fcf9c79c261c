"""Pages of rows, newest first, from a statement to the bytes of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from sqlalchemy import ColumnElement, Row, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.pages import DEFAULT_PAGE, MAX_PAGE, decode_cursor, encode_cursor

# A SELECT of some columns.
AnySelect = Select[*tuple[Any, ...]]


class PageFilter(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE, description="Rows of a page", examples=[20])
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")

    def position(self) -> dict[str, Any]:
        """Values for a statement written out: `after_at` and `after_id`, None for the first page, and `rows`.

        Raises:
            HTTPException: 422 when the cursor is none of ours.
        """
        at, row_id = (None, None) if self.cursor is None else decode_cursor(self.cursor)
        # One row more than asked for says whether there is another page.
        return {"after_at": at, "after_id": row_id, "rows": self.limit + 1}


def page_of(
    statement: AnySelect,
    at: ColumnElement[Any] | InstrumentedAttribute[Any],
    row_id: ColumnElement[int] | InstrumentedAttribute[int],
    wanted: PageFilter,
) -> AnySelect:
    """The page of `statement`, newest first by (`at`, `row_id`), with one row more than asked for.

    That row says whether there is another page.

    Raises:
        HTTPException: 422 when the cursor is none of ours.
    """
    if wanted.cursor is not None:
        statement = statement.where(tuple_(at, row_id) < decode_cursor(wanted.cursor))
    return statement.order_by(at.desc(), row_id.desc()).limit(wanted.limit + 1)


def page_answer(rows: Sequence[Row[Any]], limit: int, at: str) -> Response:
    """`items` and `next_cursor` of rows that `page_of` asked for; `at` names the column they are ordered by.

    The rows become JSON as they are: for a list of twenty, making and checking a model of each costs more
    than all else in the request. A route names its model for the description, and a test holds it to that.
    """
    cursor = None
    if len(rows) > limit:
        last = rows[limit - 1]
        cursor = encode_cursor(getattr(last, at), last.id)
    names = rows[0]._fields if rows else ()
    items = [dict(zip(names, row, strict=True)) for row in rows[:limit]]
    return Response(to_json({"items": items, "next_cursor": cursor}), media_type="application/json")
