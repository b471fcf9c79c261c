"""Two transactions at the same moment, in an order that the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from harness.cluster import Database
from harness.wait import until


@asynccontextmanager
async def two_sessions(database: Database) -> AsyncIterator[tuple[AsyncSession, AsyncSession]]:
    """Two of the application's sessions, each with a connection of its own."""
    engine = create_async_engine(database.url("app"), poolclass=NullPool)
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        yield one, other
    await engine.dispose()


async def waits_for_a_lock(database: Database) -> None:
    """Until a statement in this database waits for another transaction."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    await asyncio.to_thread(until, lambda: database.rows(waiting), "a statement waits for a lock")
