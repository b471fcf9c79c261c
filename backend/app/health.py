"""Whether this worker can serve: its database, and whether it has been told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any

import psycopg

# The longest that a health answer takes, in seconds, whatever the database does.
PROBE_SECONDS = 2.0
# For how much of it another attempt is made where nobody answers: a pooler that restarts is no reason for
# every host to leave the proxy.
RETRY_FOR_SECONDS = 1.5
RETRY_SECONDS = 0.1


class DatabaseProbe:
    """Asks the database for an answer, on a connection of its own.

    Not through the engine's pool: a pool in full use would look like a database that is down, and every
    host would leave the proxy at once. One question is under way at a time; who asks meanwhile shares it.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._under_way: asyncio.Task[None] | None = None

    async def problem(self) -> str | None:
        """What is wrong, without addresses or names; None when it answers within `PROBE_SECONDS`."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._ask())
            # What came of it after everybody was answered is nobody's error.
            self._under_way.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever is answered first may begin the next question before the others have looked at this one.
        question = self._under_way
        # Waited for, not cancelled at the limit: to cancel, psycopg waits for the silent server.
        done, _ = await asyncio.wait({question}, timeout=PROBE_SECONDS)
        if not done:
            return f"no answer within {PROBE_SECONDS:g} s"
        error = question.exception()
        return None if error is None else _kind_of(error)

    async def close(self) -> None:
        """Give up a question that is still under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            with suppress(asyncio.CancelledError, psycopg.Error, OSError):
                await self._under_way

    async def _ask(self) -> None:
        deadline = monotonic() + RETRY_FOR_SECONDS
        while True:
            try:
                return await self._ask_once()
            except psycopg.OperationalError:
                if monotonic() >= deadline:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask_once(self) -> None:
        async with await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True) as connection:
            await connection.execute("SELECT 1")


def _kind_of(error: BaseException) -> str:
    """A cause that may be shown to anyone; the driver's own text names hosts and users."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return "connecting took too long"
    if isinstance(error, psycopg.OperationalError | OSError):
        return "connection refused or lost"
    return type(error).__name__


class Drain:
    """After SIGTERM keeps serving for a while, but not ready, so that the proxy takes this worker out."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.draining = False

    def listen(self) -> None:
        """Stand before the server's own SIGTERM handler. Call it once the server has set its handlers."""
        # Signals reach the main thread alone: a server on another thread has no handler to stand before.
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)
        if not callable(stop):
            return

        def begin(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._begin, loop, stop, number, frame)

        signal.signal(signal.SIGTERM, begin)

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: Callable[[int, FrameType | None], Any],
        number: int,
        frame: FrameType | None,
    ) -> None:
        # A second SIGTERM means now.
        delay = 0.0 if self.draining else self._seconds
        self.draining = True
        loop.call_later(delay, stop, number, frame)
