"""Things done at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")


def at_once(*calls: Callable[[], Value]) -> Callable[[], list[Value]]:
    """Start all `calls`, each on a thread of its own. What is returned waits for their results."""
    pool = ThreadPoolExecutor(len(calls))
    futures = [pool.submit(call) for call in calls]

    def results() -> list[Value]:
        with pool:
            return [future.result(timeout=60) for future in futures]

    return results
