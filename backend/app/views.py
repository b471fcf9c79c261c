"""Views of jobs, counted in memory and written now and then: looking at a job writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

logger = logging.getLogger("intowork.views")

# So many jobs are remembered while the database is away; views of further ones are not counted.
MOST_JOBS = 100_000
# How long the last write may take when the worker stops, in seconds.
CLOSE_SECONDS = 5.0

# Rows are locked in the order of their ids, so that two workers wait for each other and never both.
# updated_at stays: a view changes nothing about the job.
ADD_VIEWS = text("""
WITH seen AS (
    SELECT * FROM unnest(CAST(:jobs AS integer[]), CAST(:views AS integer[])) AS seen (job_id, views)
), locked AS (
    SELECT jobs.id FROM jobs WHERE jobs.id = ANY (CAST(:jobs AS integer[]))
    ORDER BY jobs.id FOR NO KEY UPDATE
)
UPDATE jobs SET views_count = coalesce(jobs.views_count, 0) + seen.views
FROM seen JOIN locked ON locked.id = seen.job_id
WHERE jobs.id = seen.job_id
""")


class ViewCounter:
    """Counts views of this worker's requests and adds them to the table every few seconds.

    At most the views of one interval are lost when the process is killed. Those of a write whose commit was
    cut off may count twice.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession], seconds: float) -> None:
        self._sessions = sessions
        self._seconds = seconds
        self._pending: Counter[int] = Counter()
        self._stopping = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def count(self, job_id: int) -> None:
        """One view of this job."""
        if job_id in self._pending or len(self._pending) < MOST_JOBS:
            self._pending[job_id] += 1

    def start(self) -> None:
        """Write every `seconds` from now on."""
        self._writing = asyncio.create_task(self._write_now_and_then())

    async def close(self) -> None:
        """Write what is left, within `CLOSE_SECONDS`."""
        self._stopping.set()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=CLOSE_SECONDS)
        if self._pending:
            logger.warning("views of %d jobs are lost: the database did not take them", len(self._pending))

    async def flush(self) -> None:
        """Add what was counted to the table; keep it for the next time when that fails."""
        if not self._pending:
            return
        counted, self._pending = self._pending, Counter()
        try:
            async with self._sessions.begin() as database:
                await database.execute(ADD_VIEWS, {"jobs": [*counted.keys()], "views": [*counted.values()]})
        except (SQLAlchemyError, OSError) as error:
            self._pending.update(counted)
            logger.warning("views of %d jobs wait: %s", len(counted), type(error).__name__)

    async def _write_now_and_then(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._seconds)
            await self.flush()
