"""A few threads for work that would hold up the event loop, and a limit to what waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class BusyError(Exception):
    """As much waits for the threads as may wait."""


class Workers:
    """`threads` at work at once, at most `waiting` more in line. For one event loop."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting
        self._under_way = 0

    async def run(
        self, function: Callable[Parameters, Result], *words: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """What `function` returns or raises.

        Raises:
            BusyError: at once, when the line is full.
        """
        if self._under_way >= self._most:
            raise BusyError
        self._under_way += 1
        job = asyncio.wrap_future(self._executor.submit(function, *words, **named))
        # When it is over, not when its caller leaves: a client that hangs up frees no thread.
        job.add_done_callback(self._one_less)
        return await asyncio.shield(job)

    def _one_less(self, _job: asyncio.Future[Result]) -> None:
        self._under_way -= 1
