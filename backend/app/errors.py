"""From exceptions to answers: every refusal and every outage as problem details."""

from __future__ import annotations

import logging
from http import HTTPStatus

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app import metrics
from app.database import SilentDatabaseError
from app.limits import timeout_hint
from app.outages import outage
from app.problems import problem_response

logger = logging.getLogger("intowork.database")

RETRY_AFTER_SECONDS = 2
# A route looks first and says what is in the way; these are left for what changes between look and write.
CHANGED_MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation)
MEANWHILE = "Somebody else changed this at the same time; look at it again, then repeat."
# What Starlette says of its own; the same as a sentence that helps.
_SENTENCES = {
    (404, "Not Found"): "Nothing is here; /docs lists all routes.",
    (
        405,
        "Method Not Allowed",
    ): "This route does not take this method; the header Allow names those that it takes.",
    (400, "There was an error parsing the body"): "The body cannot be read; send JSON in UTF-8.",
}


def handle_errors(app: FastAPI) -> None:
    """Answer all of them. What nothing here knows goes on, to app/middleware/failures.py."""
    for kind in (DBAPIError, psycopg.Error, PoolTimeoutError, SilentDatabaseError):
        app.add_exception_handler(kind, _database)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)  # type: ignore[arg-type]


async def _database(request: Request, error: Exception) -> JSONResponse:
    """503 for a database that is away or overloaded, 504 for a statement beyond its time."""
    found = outage(error)
    if found is None:
        if isinstance(getattr(error, "orig", error), CHANGED_MEANWHILE):
            logger.warning("changed meanwhile", extra={"fields": {"cause": "integrity"}})
            return problem_response(request, HTTPStatus.CONFLICT, MEANWHILE)
        raise error
    metrics.UNAVAILABLE.labels(found.cause).inc()
    logger.warning("database unavailable", extra={"fields": {"cause": found.cause}})
    if found.status == HTTPStatus.GATEWAY_TIMEOUT:
        return problem_response(request, found.status, timeout_hint(request))
    return problem_response(request, found.status, found.detail, headers=retry_after())


def retry_after() -> dict[str, str]:
    """The header that belongs to every 503."""
    return {"Retry-After": str(RETRY_AFTER_SECONDS)}


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """422 with what is wrong where; 400 for a body that is no JSON."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    shown = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in problems]
    if any(problem["type"] == "json_invalid" for problem in problems):
        return problem_response(request, 400, "The body is no JSON.", errors=shown)
    count = len(shown)
    return problem_response(
        request, 422, f"{count} thing{'s' if count > 1 else ''} in the input cannot be used.", errors=shown
    )


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    """What a route or the router refuses."""
    detail = _SENTENCES.get((error.status_code, error.detail), error.detail)
    headers = {**(retry_after() if error.status_code == 503 else {}), **(error.headers or {})}
    return problem_response(request, error.status_code, str(detail), headers=headers)
