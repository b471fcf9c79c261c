"""The API keeps to its own description, whatever is sent: no 5xx, no answer that it does not describe."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from harness.cast import Cast
from harness.cluster import Database
from harness.migrations import module
from harness.site import Site

HELD_TO = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ROLES = ("nobody", "candidate", "employer", "admin")
EXAMPLES = 6
# To describe itself, the application needs a URL and connects to nothing.
UNUSED = "postgresql+psycopg://nobody:nothing@nowhere/none"

description = schemathesis.openapi.from_dict(
    json.loads(module("app.cli", "openapi", DATABASE_URL=UNUSED, JWT_SECRET="x" * 32).stdout)
)


@pytest.fixture
def cast(api_database: Database) -> Iterator[Cast]:
    """People and rows of this test's own."""
    with api_database.connect("app") as connection:
        yield Cast(connection)


@pytest.fixture
def answered() -> Iterator[set[int]]:
    """Collects the statuses of a test's answers. One has to be a success: refusals alone show little."""
    statuses: set[int] = set()
    yield statuses
    assert any(status < 300 for status in statuses), f"nobody of {', '.join(ROLES)} got more than {statuses}"


@description.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_answer_is_one_that_the_api_describes_and_somebody_gets_what_was_asked_for(
    case: schemathesis.Case, cast: Cast, answered: set[int], site: Site
) -> None:
    for name, value in (case.path_parameters or {}).items():
        # Every other id is one that is there; of those made up, none would be.
        known = cast.id_for(case.operation.label, name)
        if known is not None and isinstance(value, int) and value % 2:
            case.path_parameters[name] = known
    for role in ROLES:
        answer = case.call(base_url=site.server.url, headers=cast.headers[role])
        case.validate_response(answer, checks=HELD_TO)
        # Some cases try a method that the operation does not have.
        if case.method == case.operation.method.upper():
            answered.add(answer.status_code)
