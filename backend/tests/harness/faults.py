"""The API with routes that fail, for uvicorn: `harness.faults:app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from app.main import create_app
from app.settings import settings

app = create_app(settings())

# A task that is not held is gone before it can fail.
_tasks: set[asyncio.Task[None]] = set()


@app.get("/faults/raise/{word}")
async def raise_error(word: str) -> None:
    """An error that quotes what it got, with a cause that does too."""
    try:
        int(word)
    except ValueError as cause:
        raise RuntimeError(f"cannot use {word}") from cause


@app.get("/faults/stream")
async def stream() -> StreamingResponse:
    """An answer that breaks in the middle."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"the first half"
        raise RuntimeError("no second half")

    return StreamingResponse(parts(), headers={"Content-Length": "1000"})


@app.get("/faults/task/{word}")
async def forget_task(word: str) -> dict[str, str]:
    """An error in a task that nobody waits for."""

    async def fail() -> None:
        raise RuntimeError(f"cannot use {word}")

    task = asyncio.create_task(fail())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return {"status": "started"}
