"""Statement timeouts of single routes, shorter than the 30 seconds of the role, and what to say at them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.settings import Settings

# For this transaction alone: behind pgBouncer the next one on this connection may be anybody's.
SET_TIMEOUT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
DEFAULT_HINT = "This took too long; try again later."


def limited(
    milliseconds: Callable[[Settings], int], hint: str
) -> Callable[[Request, AsyncSession], Awaitable[AsyncSession]]:
    """A dependency: the request's session, whose statements end after so long, with 504 and `hint`.

    One round trip more. It cannot travel with the statement that it is for: PostgreSQL starts the clock
    before it runs the statement.
    """

    async def limit(request: Request, database: Database) -> AsyncSession:
        request.state.timeout_hint = hint
        await database.execute(SET_TIMEOUT, {"milliseconds": str(milliseconds(request.app.state.settings))})
        return database

    return limit


def timeout_hint(request: Request) -> str:
    """What to tell the client whose statement took too long."""
    return str(getattr(request.state, "timeout_hint", DEFAULT_HINT))


SearchDatabase = Annotated[
    AsyncSession,
    Depends(
        limited(
            lambda settings: settings.search_timeout_ms,
            "The search took too long; use more filters, or rarer words.",
        )
    ),
]
DashboardDatabase = Annotated[
    AsyncSession,
    Depends(
        limited(
            lambda settings: settings.dashboard_timeout_ms,
            "Counting took too long; ask for one job (job_id), or for /api/dashboard/statistics,"
            " which are counted ahead.",
        )
    ),
]
