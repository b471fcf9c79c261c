"""Answers whose time does not tell what was found."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import Depends, Request

from app.settings import Settings


class EvenClock:
    """Knows when the request came."""

    def __init__(self, request: Request) -> None:
        settings: Settings = request.app.state.settings
        self._earliest = time.monotonic() + settings.sign_in_floor_seconds

    async def out(self) -> None:
        """Wait until `sign_in_floor_seconds` after the request. Commit before it, so no connection waits."""
        await asyncio.sleep(max(self._earliest - time.monotonic(), 0))


EvenTime = Annotated[EvenClock, Depends()]
