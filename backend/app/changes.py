"""What a PATCH sends: the fields to change and no others, and rules over several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, model_validator

Rule = Callable[[Mapping[str, Any]], None]


def _describe(schema: dict[str, Any]) -> None:
    schema["minProperties"] = 1
    # A field that is left out is not null then: it stays as it is.
    for described in schema["properties"].values():
        described.pop("default", None)


class Changes(BaseModel):
    """A body of PATCH. What it does not name stays as it is; null clears what may be empty."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe)

    @model_validator(mode="after")
    def _names_something(self) -> Changes:
        if not self.model_fields_set:
            raise ValueError("names nothing to change")
        return self

    def named(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return self.model_dump(exclude_unset=True)


def merged(stored: Mapping[str, Any], changes: Changes, *rules: Rule) -> dict[str, Any]:
    """The changes, once no rule has anything against them together with what is stored already.

    Raises:
        RequestValidationError: a rule raised a ValueError; told as if the body's model had found it.
    """
    named = changes.named()
    try:
        for rule in rules:
            rule({**stored, **named})
    except ValueError as error:
        problem = {"type": "value_error", "loc": ("body",), "msg": f"Value error, {error}"}
        raise RequestValidationError([problem]) from None
    return named


def in_order(low: str, high: str) -> Rule:
    """The rule that the field `low` is not above the field `high`, where both are there."""

    def rule(values: Mapping[str, Any]) -> None:
        first, last = values.get(low), values.get(high)
        if first is not None and last is not None and first > last:
            numbers = isinstance(first, int)
            raise ValueError(f"{low} is above {high}" if numbers else f"{high} is before {low}")

    return rule
