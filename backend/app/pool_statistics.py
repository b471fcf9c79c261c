"""How full this worker's pool of database connections is, and whether the database still answers anyone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal, cast

from pydantic import BaseModel, Field
from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics

# Percent; beyond it requests will soon wait.
DEGRADED_ABOVE = 80.0
# Seconds that a request waits once others have waited in vain: nobody needs to find it out again.
IMPATIENT = 1.0


class PoolNumbers(BaseModel):
    """This worker's pool at this moment; each worker has one of its own."""

    status: Literal["healthy", "degraded"] = Field(
        description=f"degraded above {DEGRADED_ABOVE:g} percent of use", examples=["healthy"]
    )
    size: int = Field(description="Connections that are kept", examples=[20])
    max_overflow: int = Field(description="Further ones under load", examples=[10])
    checked_out: int = Field(description="Connections in use", examples=[3])
    idle: int = Field(description="Connections that are open and free", examples=[5])
    overflow: int = Field(description="Connections beyond `size` that are open", examples=[0])
    waiting: int = Field(description="Requests that wait for a connection", examples=[0])
    usage_percent: float = Field(description="In use, of `size` and `max_overflow` together", examples=[10.0])


class PoolStatistics:
    """Counts what the pool itself does not: who waits, and when somebody was last answered."""

    def __init__(self, engine: AsyncEngine, max_overflow: int) -> None:
        self._engine = engine
        self._max_overflow = max_overflow
        self._waiting = 0
        self._answered_at = monotonic()
        self._silent = False
        size = self._pool.size()
        metrics.POOL.labels("size").set(size)
        metrics.POOL.labels("capacity").set(size + max_overflow)
        self.publish()

    @property
    def _pool(self) -> QueuePool:
        # Asked each time: the engine replaces it when it is disposed of.
        return cast(QueuePool, self._engine.pool)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the time in which a request has no connection yet."""
        self._waiting += 1
        self.publish()
        try:
            yield
        finally:
            self._waiting -= 1
            self.publish()

    def patience(self, began: float, seconds: float) -> float:
        """Seconds that a request which began to wait at `began` goes on waiting; 0 or less when it gives up.

        Not `seconds` from its own beginning: as long as others are answered the database is only busy.
        """
        return (
            max(began, self._answered_at)
            + (min(seconds, IMPATIENT) if self._silent else seconds)
            - monotonic()
        )

    def gave_up(self) -> None:
        """A request waited in vain."""
        self._silent = True

    def answered(self) -> None:
        """A connection has answered."""
        self._silent = False
        self._answered_at = monotonic()

    def numbers(self) -> PoolNumbers:
        """All of it as of now."""
        pool = self._pool
        size, checked_out = pool.size(), pool.checkedout()
        usage = 100 * checked_out / (size + self._max_overflow)
        return PoolNumbers(
            status="degraded" if usage > DEGRADED_ABOVE else "healthy",
            size=size,
            max_overflow=self._max_overflow,
            checked_out=checked_out,
            idle=pool.checkedin(),
            overflow=max(pool.overflow(), 0),
            waiting=self._waiting,
            usage_percent=round(usage, 1),
        )

    def publish(self) -> None:
        """Tell Prometheus, for which another worker may answer."""
        pool = self._pool
        metrics.POOL.labels("checked_out").set(pool.checkedout())
        metrics.POOL.labels("overflow").set(max(pool.overflow(), 0))
        metrics.WAITING.set(self._waiting)
