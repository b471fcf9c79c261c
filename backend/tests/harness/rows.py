"""Rows that a test needs, inserted with the rights of the app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from app.auth import make_token
from harness.server import JWT_SECRET

_numbers = count(1)


class Person(NamedTuple):
    """A user, its profile's id and a header that signs requests."""

    user_id: int
    profile_id: int | None
    headers: dict[str, str]


class Rows:
    """Makes rows with sensible values where the test does not care."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def insert(self, table: str, **values: Any) -> int:
        """One row; returns its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self._connection.execute(statement, [*values.values()]).fetchone()
        assert row is not None
        return int(row[0])

    def user(self, role: str, **values: Any) -> int:
        """A user; returns its id."""
        email = f"user{next(_numbers)}-{role}@example.com"
        return self.insert(
            "users", **{"email": email, "role": role, "first_name": "Ada", "last_name": "Byron", **values}
        )

    def candidate(self) -> Person:
        """A candidate with a profile and a token."""
        user = self.user("candidate")
        return Person(user, self.insert("candidates", user_id=user), bearer(user))

    def employer(self, company_id: int | None = None) -> Person:
        """An employer with a profile and a token."""
        user = self.user("employer")
        return Person(user, self.insert("employers", user_id=user, company_id=company_id), bearer(user))

    def company(self, name: str = "Atelier Nova") -> int:
        """A company; returns its id."""
        return self.insert("companies", name=name)

    def job(self, company_id: int | None = None, **values: Any) -> int:
        """A job, published a minute ago unless told otherwise; returns its id."""
        company = self.company() if company_id is None else company_id
        given = {
            "employer_id": values.pop("employer_id", None) or self.employer(company).profile_id,
            "company_id": company,
            "title": "Data Engineer",
            "description": "Work with data",
            "job_type": "full_time",
            "location_type": "on_site",
            "status": "published",
            "posted_at": datetime.now(UTC) - timedelta(minutes=1),
        }
        return self.insert("jobs", **{**given, **values})


def bearer(
    user_id: int, secret: str = JWT_SECRET, lifetime: timedelta = timedelta(hours=1)
) -> dict[str, str]:
    """The header of a request by this user."""
    return {"Authorization": f"Bearer {make_token(user_id, secret, lifetime)}"}
