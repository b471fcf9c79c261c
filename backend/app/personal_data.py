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
    candidate: Row | None = Field(
        examples=[{"id": 5, "user_id": 7, "location": "Lyon", "title": "Data Engineer"}]
    )
    candidate_cvs: list[Row] = Field(examples=[[{"id": 61, "candidate_id": 5, "filename": "cv-2026.pdf"}]])
    experiences: list[Row] = Field(
        examples=[[{"id": 31, "candidate_id": 5, "title": "Data Engineer", "company": "Atelier Nova"}]]
    )
    educations: list[Row] = Field(
        examples=[[{"id": 41, "candidate_id": 5, "degree": "Master", "school": "INSA Toulouse"}]]
    )
    skills: list[Row] = Field(
        examples=[[{"id": 51, "candidate_id": 5, "name": "SQL", "level": 4, "category": "technical"}]]
    )
    job_applications: list[Row] = Field(
        examples=[[{"id": 11, "candidate_id": 5, "job_id": 7, "status": "applied"}]]
    )
    employer: Row | None = Field(examples=[None])
    jobs: list[Row] = Field(examples=[[]])
    notifications: list[Row] = Field(
        examples=[[{"id": 21, "user_id": 7, "type": "system", "title": "Hello", "message": "Welcome"}]]
    )
    notifications_archive: list[Row] = Field(examples=[[]])
    accounts: list[Row] = Field(
        examples=[[{"id": 81, "user_id": 7, "provider": "google", "scope": "openid email"}]]
    )
    sessions: list[Row] = Field(examples=[[{"id": 91, "user_id": 7, "expires": "2026-02-05T09:30:00+00:00"}]])
    password_reset_tokens: list[Row] = Field(examples=[[]])
    verification_tokens: list[Row] = Field(examples=[[]])
    changes: list[Row] = Field(
        examples=[[{"id": 71, "table_name": "users", "row_id": 7, "action": "update"}]]
    )


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
