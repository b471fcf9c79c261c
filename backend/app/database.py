"""The one engine, and what hands out its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.settings import Settings

# Behind pgBouncer in transaction mode the next transaction may run on another server connection, which does
# not know what this one prepared; psycopg prepares by itself after five uses unless told not to.
NO_PREPARED_STATEMENTS: dict[str, Any] = {"prepare_threshold": None}


def make_engine(settings: Settings) -> AsyncEngine:
    """An async engine on the pooled endpoint. Connects to nothing yet."""
    return create_async_engine(
        settings.url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_recycle=settings.database_pool_recycle,
        pool_timeout=settings.database_pool_timeout,
        pool_pre_ping=True,
        connect_args={
            **NO_PREPARED_STATEMENTS,
            "connect_timeout": settings.database_connect_timeout,
            "application_name": "intowork-api",
        },
    )


def connection_parameters(url: URL) -> dict[str, Any]:
    """What `psycopg.connect` needs to reach the same database as `url`, as keyword arguments."""
    parts = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
    }
    given = {name: value for name, value in parts.items() if value is not None}
    return {**given, **url.query, **NO_PREPARED_STATEMENTS}


class SilentDatabaseError(Exception):
    """No connection answered within `database_wait_seconds`."""


# Tasks that nobody waits for any more; asyncio itself keeps no reference to a task.
_left_behind: set[asyncio.Task[None]] = set()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one request, with a connection that has answered; what it did not commit is rolled back.

    Raises:
        SilentDatabaseError: pgBouncer accepts connections but has no server for them, or does not answer.
    """
    settings: Settings = request.app.state.settings
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    opened = sessions()
    connecting = asyncio.create_task(_connect(opened))
    try:
        # Waited for, not cancelled at the limit: to cancel, psycopg waits for the server that is silent.
        await asyncio.wait({connecting}, timeout=settings.database_wait_seconds)
        if not connecting.done():
            raise SilentDatabaseError
        await connecting
        yield opened
    finally:
        if connecting.done():
            await opened.close()
        else:
            closing = asyncio.create_task(_close_later(connecting, opened))
            _left_behind.add(closing)
            closing.add_done_callback(_left_behind.discard)


async def _connect(opened: AsyncSession) -> None:
    await opened.connection()


async def _close_later(connecting: asyncio.Task[None], opened: AsyncSession) -> None:
    await asyncio.wait({connecting})
    # Its error, if any, was answered with 503 long ago; asked for, so that asyncio does not report it.
    connecting.exception()
    await opened.close()


Database = Annotated[AsyncSession, Depends(session)]
