"""People of each role, with rows of theirs: for requests that are made from the API's description."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from app.addresses import same
from app.passwords import hash_password
from app.tokens import token_hash
from harness.rows import Rows, bearer
from harness.site import PASSWORD

# The examples of the description: what it shows as a request works for these people, in every cast anew.
ADDRESS = "ada.byron@example.com"
TOKEN = "ZK3lJ3mXyQ0u8mR7rLrIu3eW2dG5bq9VYwZ4c1nT0aE"
PROVIDER = "google"

# Hashed once: it is meant to take its time.
PASSWORD_HASH = asyncio.run(hash_password(PASSWORD))


class Cast:
    """A person of each role who may do all that the role may, and rows of theirs that a path can name.

    Attributes:
        headers: what signs the requests of each role.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._rows = rows = Rows(connection)
        connection.execute("DELETE FROM users WHERE lower(email) = %s", (same(ADDRESS),))
        candidate_user = rows.user("candidate", email=ADDRESS, password_hash=PASSWORD_HASH)
        employer_user = rows.user("employer", password_hash=PASSWORD_HASH)
        admin_user = rows.user("admin", password_hash=PASSWORD_HASH)
        company = rows.company()
        candidate = rows.insert("candidates", user_id=candidate_user)
        employer = rows.insert("employers", user_id=employer_user, company_id=company, is_admin=True)
        self.headers: dict[str, dict[str, str]] = {
            "nobody": {},
            "candidate": bearer(candidate_user),
            "employer": bearer(employer_user),
            "admin": bearer(admin_user),
        }
        jobs = {"company_id": company, "employer_id": employer}
        published = rows.job(**jobs)
        self._ids = {
            "job_id": published,
            "row_id": published,
            "company_id": company,
            "application_id": rows.insert("job_applications", job_id=published, candidate_id=candidate),
            **self._profile(candidate),
            "notification_id": rows.insert(
                "notifications", user_id=candidate_user, type="system", title="Hello", message="Welcome"
            ),
        }
        # What can be done only to a job in another state.
        self._jobs = {
            "POST /api/jobs/{job_id}/publish": rows.job(**jobs, status="draft", posted_at=None),
            "POST /api/jobs/{job_id}/restore": rows.job(
                **jobs, status="archived", deleted_at=datetime.now(UTC)
            ),
            "POST /api/applications/apply": rows.job(**jobs),
        }
        for user in (candidate_user, employer_user):
            rows.insert(
                "accounts", user_id=user, type="oauth", provider=PROVIDER, provider_account_id=str(user)
            )
        self._tokens(connection, candidate_user)

    def _profile(self, candidate: int) -> dict[str, int]:
        """Parts of the candidate's profile."""
        rows, part = self._rows, {"candidate_id": candidate}
        dated = {**part, "start_date": "2020-01-01"}
        return {
            "experience_id": rows.insert("experiences", title="Nurse", company="Clinic", **dated),
            "education_id": rows.insert("educations", degree="BSc", school="Lyon", **dated),
            "skill_id": rows.insert("skills", name="SQL", level=3, category="technical", **part),
            "cv_id": rows.insert("candidate_cvs", filename="cv.pdf", file_path="/cv/1.pdf", **part),
        }

    def _tokens(self, connection: psycopg.Connection[Any], user: int) -> None:
        """The token of the description, good once for each thing that needs one."""
        stored, until = token_hash(TOKEN), datetime.now(UTC) + timedelta(hours=1)
        for table, column in (
            ("sessions", "session_token"),
            ("password_reset_tokens", "token"),
            ("verification_tokens", "token"),
        ):
            connection.execute(f"DELETE FROM {table} WHERE {column} = %s", (stored,))
        self._rows.insert("sessions", user_id=user, session_token=stored, expires=until)
        self._rows.insert("password_reset_tokens", user_id=user, token=stored, expires_at=until)
        self._rows.insert("verification_tokens", identifier=same(ADDRESS), token=stored, expires=until)

    def id_for(self, operation: str, name: str) -> int | None:
        """The row that the id `name` of a path, or of a body, means to the operation "METHOD /path"."""
        if name == "job_id" and operation in self._jobs:
            return self._jobs[operation]
        return self._ids.get(name)
