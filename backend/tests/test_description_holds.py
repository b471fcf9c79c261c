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

from harness.cluster import Database
from harness.migrations import module
from harness.rows import Rows, bearer
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


class Cast:
    """A person of each role, and rows of theirs that a path can name."""

    def __init__(self, rows: Rows) -> None:
        company = rows.company()
        candidate, employer = rows.candidate(), rows.employer(company)
        job = rows.job(company, employer_id=employer.profile_id)
        application = rows.insert("job_applications", job_id=job, candidate_id=candidate.profile_id)
        self.headers: dict[str, dict[str, str]] = {
            "nobody": {},
            "candidate": candidate.headers,
            "employer": employer.headers,
            "admin": bearer(rows.user("admin")),
        }
        part = {"candidate_id": candidate.profile_id}
        dated = {**part, "start_date": "2020-01-01"}
        self.ids = {
            "job_id": job,
            "application_id": application,
            "company_id": company,
            "experience_id": rows.insert("experiences", title="Nurse", company="Clinic", **dated),
            "education_id": rows.insert("educations", degree="BSc", school="Lyon", **dated),
            "skill_id": rows.insert("skills", name="SQL", level=3, category="technical", **part),
            "cv_id": rows.insert("candidate_cvs", filename="cv.pdf", file_path="/cv/1.pdf", **part),
            "notification_id": rows.insert(
                "notifications", user_id=candidate.user_id, type="system", title="Hello", message="Welcome"
            ),
        }


@pytest.fixture
def cast(api_database: Database) -> Iterator[Cast]:
    """People and rows of this test's own."""
    with api_database.connect("app") as connection:
        yield Cast(Rows(connection))


@pytest.mark.parametrize("role", ROLES)
@description.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_answer_is_one_that_the_api_describes(
    case: schemathesis.Case, cast: Cast, role: str, site: Site
) -> None:
    for name, value in (case.path_parameters or {}).items():
        # Every other id is one that is there; of those made up, none would be.
        if name in cast.ids and isinstance(value, int) and value % 2:
            case.path_parameters[name] = cast.ids[name]
    answer = case.call(base_url=site.server.url, headers=cast.headers[role])
    case.validate_response(answer, checks=HELD_TO)
