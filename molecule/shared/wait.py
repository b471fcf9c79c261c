"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float, what: str, interval: float = 0.2) -> T:
    """Return the first true value of `condition`; AssertionError with its last word after `seconds`.

    An OSError or AssertionError inside of the condition means "not yet".
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            last: object = None
            if found := condition():
                return found
            last = found
        except (OSError, AssertionError, RuntimeError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last: {last}")
        time.sleep(interval)
