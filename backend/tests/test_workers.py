"""Threads for slow work: few at once, a short line, and a full line is told at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.workers import BusyError, Workers
from harness.wait import until


class Gate:
    """Work that goes on when it is opened, and counts how much of it runs at once."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self._lock = threading.Lock()
        self.running = 0
        self.most = 0

    def work(self) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.opened.wait(30)
        with self._lock:
            self.running -= 1
        return "done"


async def _started(gate: Gate, count: int) -> None:
    await asyncio.to_thread(until, lambda: gate.running == count, f"{count} at work")


def test_no_more_run_at_once_than_there_are_threads() -> None:
    async def ten_of_them() -> tuple[list[str], int]:
        gate, workers = Gate(), Workers("test", threads=2, waiting=10)
        tasks = [asyncio.create_task(workers.run(gate.work)) for _ in range(10)]
        await _started(gate, 2)
        gate.opened.set()
        return await asyncio.gather(*tasks), gate.most

    assert asyncio.run(ten_of_them()) == (["done"] * 10, 2)


def test_a_full_line_is_told_at_once_and_empties() -> None:
    async def one_too_many() -> str:
        gate, workers = Gate(), Workers("test", threads=1, waiting=1)
        tasks = [asyncio.create_task(workers.run(gate.work)) for _ in range(2)]
        await _started(gate, 1)
        with pytest.raises(BusyError):
            await workers.run(gate.work)
        gate.opened.set()
        await asyncio.gather(*tasks)
        return await workers.run(gate.work)

    assert asyncio.run(one_too_many()) == "done"


def test_a_caller_who_leaves_frees_no_thread() -> None:
    async def left() -> None:
        gate, workers = Gate(), Workers("test", threads=1, waiting=0)
        task = asyncio.create_task(workers.run(gate.work))
        await _started(gate, 1)
        task.cancel()
        await asyncio.wait({task})
        with pytest.raises(BusyError):
            await workers.run(gate.work)
        gate.opened.set()

    asyncio.run(left())


def test_what_the_work_raises_comes_to_its_caller() -> None:
    async def fails() -> None:
        await Workers("test", threads=1, waiting=0).run(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(fails())
