"""Who is asking: bearer tokens signed with the service's secret, and the person they stand for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import text

from app.database import Database
from app.inputs import MAX_ID
from app.settings import Settings

ALGORITHM = "HS256"

# With it the transaction is told who acts, for the audit trail: no round trip of its own. Written out, since
# every request with a token asks it: from the models, statement and result are made anew each time.
PERSON = text("""
SELECT users.role, candidates.id AS candidate_id, employers.id AS employer_id, employers.company_id,
    employers.can_create_jobs, employers.can_manage_candidates,
    set_config('app.actor_id', CAST(users.id AS text), true), set_config('app.request_id', :request_id, true)
FROM users
LEFT JOIN candidates ON candidates.user_id = users.id
LEFT JOIN employers ON employers.user_id = users.id
WHERE users.id = :user_id AND users.is_active AND users.deleted_at IS NULL
""")

bearer = HTTPBearer(auto_error=False, description="An `access_token` of POST /api/auth/login")


@dataclass(frozen=True)
class EmployerProfile:
    """What a signed-in employer is and may do."""

    employer_id: int
    company_id: int | None
    can_create_jobs: bool
    can_manage_candidates: bool


@dataclass(frozen=True)
class Person:
    """The user that a request comes from, as the database knows them now."""

    user_id: int
    role: str
    candidate_id: int | None
    employer: EmployerProfile | None


def make_token(user_id: int, secret: str, lifetime: timedelta) -> str:
    """A signed token for `user_id`. The role is not in it: it is looked up, so a change counts at once.

    A token cannot be revoked: after a logout or a new password it is good until it expires, some minutes. A
    user who is deactivated or deleted is refused at once.
    """
    now = datetime.now(UTC)
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + lifetime}, secret, algorithm=ALGORITHM)


def _refuse(reason: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, reason, headers={"WWW-Authenticate": "Bearer"})


def token_subject(token: str, secret: str) -> int:
    """The user id that `token` was made for.

    Raises:
        HTTPException: 401 when the token is not signed by us, has expired or names no user.
    """
    try:
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
        user_id = int(claims["sub"])
    except jwt.ExpiredSignatureError:
        raise _refuse("The token has expired; sign in again.") from None
    except (jwt.InvalidTokenError, ValueError):
        raise _refuse("The token is not valid; sign in again.") from None
    if not 0 < user_id <= MAX_ID:
        raise _refuse("The token is not valid; sign in again.")
    return user_id


async def person(
    request: Request,
    database: Database,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Person:
    """The signed-in user of this request.

    Raises:
        HTTPException: 401 without a valid token of an active user.
    """
    if credentials is None:
        raise _refuse("Send a token: Authorization: Bearer TOKEN.")
    settings: Settings = request.app.state.settings
    user_id = token_subject(credentials.credentials, settings.jwt_secret.get_secret_value())
    values = {"user_id": user_id, "request_id": str(request.scope.get("request_id", ""))}
    row = (await database.execute(PERSON, values)).one_or_none()
    if row is None:
        raise _refuse("The account of this token does not exist or is not active.")
    employer = None
    if row.employer_id is not None:
        employer = EmployerProfile(
            employer_id=row.employer_id,
            company_id=row.company_id,
            can_create_jobs=bool(row.can_create_jobs),
            can_manage_candidates=bool(row.can_manage_candidates),
        )
    return Person(user_id=user_id, role=row.role, candidate_id=row.candidate_id, employer=employer)


SignedIn = Annotated[Person, Depends(person)]


def require_role(role: str) -> Callable[[Person], Awaitable[Person]]:
    """A dependency that lets only users with `role` through, 403 for others."""

    async def check(asking: SignedIn) -> Person:
        if asking.role != role:
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, f"Only a {role} may do this; you are {asking.role}."
            )
        return asking

    return check


async def candidate_id(asking: Annotated[Person, Depends(require_role("candidate"))]) -> int:
    """The id of the signed-in candidate's profile; 403 for other roles and without a profile."""
    if asking.candidate_id is None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This account has no candidate profile yet.")
    return asking.candidate_id


async def employer(asking: Annotated[Person, Depends(require_role("employer"))]) -> EmployerProfile:
    """The signed-in employer's profile; 403 for other roles and without a profile."""
    if asking.employer is None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This account has no employer profile yet.")
    return asking.employer


SignedInEmployer = Annotated[EmployerProfile, Depends(employer)]
SignedInAdmin = Annotated[Person, Depends(require_role("admin"))]
SignedInCandidate = Annotated[int, Depends(candidate_id)]
