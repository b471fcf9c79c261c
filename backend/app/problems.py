"""Errors as every client gets them: problem details (RFC 9457), never a bare text."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class InvalidInput(BaseModel):
    """One thing that is wrong with what was sent. What was sent is not sent back: it may be personal."""

    type: str = Field(examples=["less_than_equal"])
    loc: list[str | int] = Field(examples=[["query", "limit"]])
    msg: str = Field(examples=["Input should be less than or equal to 100"])


class Problem(BaseModel):
    """What went wrong, for a program (`status`) and for a person (`detail`)."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["You have applied for job 7 already; after a rejection you may again."])
    instance: str = Field(examples=["/api/applications/apply"])
    request_id: str | None = Field(None, description="Name it when you ask for help", examples=["5f0c9d2e"])
    errors: list[InvalidInput] | None = Field(None, description="Each thing that is wrong with the input")


def problem_response(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    """The answer for a problem. `request_id` is the one that the log has."""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request.scope.get("request_id"),
        "errors": errors,
    }
    content = {name: value for name, value in problem.items() if value is not None}
    return JSONResponse(content, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def too_many_requests(detail: str, retry_after_seconds: int) -> HTTPException:
    """429 with when to try again."""
    return HTTPException(
        HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(max(retry_after_seconds, 1))}
    )
