"""What is stored about one person, as one document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Row = dict[str, Any]


class PersonalData(BaseModel):
    """Every row about a person, without what would let somebody sign in as them.

    Deleted jobs and applications that are still stored are in it too, and what the trail of changes says.
    """

    user: Row = Field(examples=[{"id": 7, "email": "ada.byron@example.com", "role": "candidate"}])
    candidate: Row | None
    candidate_cvs: list[Row]
    experiences: list[Row]
    educations: list[Row]
    skills: list[Row]
    job_applications: list[Row]
    employer: Row | None
    jobs: list[Row]
    notifications: list[Row]
    notifications_archive: list[Row]
    accounts: list[Row]
    sessions: list[Row]
    password_reset_tokens: list[Row]
    verification_tokens: list[Row]
    changes: list[Row]


_OF_USER = "user_id = :user_id"
_OF_CANDIDATE = "candidate_id = (SELECT id FROM candidates WHERE user_id = :user_id)"
_OF_EMPLOYER = "employer_id = (SELECT id FROM employers WHERE user_id = :user_id)"
_OF_ADDRESS = "lower(identifier) = (SELECT lower(email) FROM users WHERE id = :user_id)"
_SECRET_TOKENS = "- 'access_token' - 'refresh_token' - 'id_token'"  # noqa: S105 - columns to leave out

# For each list: the table's rows, and what is left out of them.
_LISTS = {
    "candidate_cvs": (_OF_CANDIDATE, ""),
    "experiences": (_OF_CANDIDATE, ""),
    "educations": (_OF_CANDIDATE, ""),
    "skills": (_OF_CANDIDATE, ""),
    "job_applications": (_OF_CANDIDATE, ""),
    "jobs": (_OF_EMPLOYER, ""),
    "notifications": (_OF_USER, ""),
    "notifications_archive": (_OF_USER, ""),
    "accounts": (_OF_USER, _SECRET_TOKENS),
    "sessions": (_OF_USER, "- 'session_token'"),
    "password_reset_tokens": (_OF_USER, "- 'token'"),
    "verification_tokens": (_OF_ADDRESS, "- 'token'"),
}
_ONES = {
    "user": "SELECT to_jsonb(found) - 'password_hash' FROM users AS found WHERE id = :user_id",
    "candidate": f"SELECT to_jsonb(found) FROM candidates AS found WHERE {_OF_USER}",  # noqa: S608
    "employer": f"SELECT to_jsonb(found) FROM employers AS found WHERE {_OF_USER}",  # noqa: S608
}
_CHANGES = f"""
    SELECT 'users' AS table_name, :user_id AS row_id, made.*
    FROM audit_trail('users', :user_id, 1000) AS made
    UNION ALL
    SELECT 'job_applications', application.id, made.*
    FROM job_applications AS application, audit_trail('job_applications', application.id, 100) AS made
    WHERE {_OF_CANDIDATE}
"""  # noqa: S608 - literals of this file, as all of the statement below

# One statement, so that all of it is of one moment.
EXPORT = text(
    "SELECT "  # noqa: S608
    + ", ".join(
        [
            *(f"({query}) AS {name}" for name, query in _ONES.items()),
            *(
                f"(SELECT coalesce(jsonb_agg(to_jsonb(found) {hidden} ORDER BY id), '[]')"  # noqa: S608
                f" FROM {name} AS found WHERE {condition}) AS {name}"
                for name, (condition, hidden) in _LISTS.items()
            ),
            f"(SELECT coalesce(jsonb_agg(to_jsonb(found) ORDER BY id), '[]') FROM ({_CHANGES}) AS found)"  # noqa: S608
            " AS changes",
        ]
    )
)


async def personal_data(database: AsyncSession, user_id: int) -> PersonalData | None:
    """All about the user; None when there is no such user."""
    found = (await database.execute(EXPORT, {"user_id": user_id})).mappings().one()
    return None if found["user"] is None else PersonalData.model_validate(dict(found))
