"""The API's description of itself: errors as problem details, and those that any route may answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.examples import add_examples
from app.problems import MEDIA_TYPE, Problem

DESCRIPTION = """\
Candidates, employers, jobs and applications of IntoWork.

**Who asks.** `POST /api/auth/login` gives a token; send it as `Authorization: Bearer TOKEN`.

**Pages.** A list that goes on has `next_cursor`: ask again with it as `cursor`. No row comes twice and none
is left out, also while others are added.

**Errors** are problem details (RFC 9457): `detail` says what is wrong and what to do, `request_id` is the one
in the service's log. With 503 and 429, `Retry-After` says after how many seconds to try again.

**Each answer** has `X-Request-ID`: what the request had, if it is of at most 64 letters, digits, `.`, `_` and
`-`, or else a new one.
"""

TAGS = {
    "root": "The front door.",
    "health": "Whether the service, its workers and its database can serve.",
    "metrics": "Figures for programs; the proxy keeps them from the outside.",
    "monitoring": "What the database says about itself, for administrators.",
    "signing in": "Accounts, tokens, and links that are sent by mail.",
    "me": "The signed-in person's own account and data.",
    "profile": "What a candidate tells of themselves.",
    "jobs": "Finding jobs, and an employer's own.",
    "companies": "Who offers jobs.",
    "applications": "Applying for a job, and what became of it.",
    "reviewing": "What an employer does with applications.",
    "dashboard": "An employer's figures.",
    "notifications": "What a person should know.",
    "admin": "What only administrators may do.",
}

# Of the proxy and the middleware, so that a route need not list them.
ANY_ROUTE = {
    "503": "The database is away or overloaded; Retry-After says when to try again",
    "504": "The statement took longer than this route or the role allows",
}
ANY_CHANGE = {"409": "Somebody else changed the same thing at the same time"}
ANY_BODY = {
    "400": "The body is no JSON",
    "413": "The body is larger than the service takes",
}
UNAUTHENTICATED = "There is no valid token"
INVALID = "The input is not valid; `errors` says what and where"

REQUEST_ID = {
    "description": "The request's name in the service's log",
    "schema": {"type": "string"},
    "example": "5f0c9d2e4b7a4c0e",
}
HEADERS = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}, "example": "Bearer"}},
    "429": {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}, "example": "60"}},
    "503": {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}, "example": "2"}},
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` tell the truth about errors."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        tags=[{"name": name, "description": sentence} for name, sentence in TAGS.items()],
        routes=app.routes,
    )
    components = made.setdefault("components", {})
    components["headers"] = {"X-Request-ID": REQUEST_ID}
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _tell_errors(path, method, operation)
    add_examples(made)
    return made


def _tell_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    told = dict(ANY_ROUTE)
    if method != "get":
        told |= ANY_CHANGE
    if "requestBody" in operation:
        told |= ANY_BODY
    if operation.get("security"):
        told["401"] = UNAUTHENTICATED
    for status, description in told.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        own = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
        response["headers"] = {**response.get("headers", {}), **own, **HEADERS.get(status, {})}
        if status >= "400":
            if status == "422":
                response["description"] = INVALID
            response["content"] = {MEDIA_TYPE: _problem(path, status, response["description"])}


def _problem(path: str, status: str, description: str) -> dict[str, Any]:
    """What such an answer looks like, with the reason for it as an example."""
    example = {
        "type": "about:blank",
        "title": HTTPStatus(int(status)).phrase,
        "status": int(status),
        "detail": f"{description.rstrip('.')}.",
        "instance": path,
        "request_id": REQUEST_ID["example"],
    }
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
