"""A load that goes on while something happens, and what it is to have met: no request failed."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from shared import open_loop
from shared.open_loop import Plan, Request

# The name of a test report's property begins with it; `scripts/bench zero` looks for it.
PROPERTY = "load: "
# A load that nobody ends, since its test was killed, ends by itself.
MOST_SECONDS = 600
# What a process may need to start and to end, on a busy machine.
STARTING_SECONDS = 30


@dataclass(frozen=True)
class Report:
    """What a load has met.

    Attributes:
        stopped: whether it was ended, and not through with its plan before.
        seconds: how long requests began.
        late_ms: how far at most the load itself was behind its plan; part of the latencies.
        requests, failed: how many began, and how many of them failed.
        worst_ms, p99_ms: from the planned time of a request to the end of its answer.
        kinds: the same four of each kind of request.
        failures: the first ones, with time, kind, request and what was said.
    """

    stopped: bool
    seconds: float
    late_ms: float
    requests: int
    failed: int
    worst_ms: float
    p99_ms: float
    kinds: dict[str, dict[str, float]] = field(repr=False)
    failures: list[dict[str, Any]]

    @property
    def per_second(self) -> float:
        """Requests that began in a second."""
        return self.requests / self.seconds if self.seconds else 0.0


UnderLoad = Callable[[str], AbstractContextManager["Load"]]


class Load:
    """Requests by plan while the block runs; `report` is there after it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process: subprocess.Popen[str] | None = None
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """What it has met. AssertionError before the block is over."""
        assert self._report, "the load still goes on: its report is there after the block"
        return self._report

    def goes_on(self) -> bool:
        """Whether it is not through with its plan."""
        assert self._process
        return self._process.poll() is None

    def __enter__(self) -> Load:
        """Begin, and return with the first answer: from then on the service is under load."""
        self._process = subprocess.Popen(
            [sys.executable, str(Path(open_loop.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(self._plan)) + "\n")
        self._process.stdin.flush()
        # The first answer has its own limit; a process that does not come so far has some more to start.
        if not select.select([self._process.stdout], [], [], self._plan.timeout + STARTING_SECONDS)[0]:
            self._end()
            raise AssertionError(
                f"nothing was answered within {self._plan.timeout:g} s, before anything happened"
            )
        first = self._process.stdout.readline()
        if first != "answered\n":
            self._end()
            raise AssertionError(f"the load was never answered: {first[:1000]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        try:
            # It waits for the answers to what has begun.
            said, _ = self._process.communicate(timeout=self._plan.timeout + STARTING_SECONDS)
        except subprocess.TimeoutExpired:
            self._end()
            raise
        self._report = Report(**json.loads(said))

    def _end(self) -> None:
        assert self._process
        self._process.kill()
        self._process.communicate()

    def conclude(self, event: str, record_property: Callable[[str, object], None]) -> Report:
        """Write what was met into the test's report; AssertionError with each failure unless nothing failed."""
        report = self.report
        figures = {name: value for name, value in asdict(report).items() if name != "failures"}
        record_property(PROPERTY + event, json.dumps(figures))
        assert report.failed == 0, json.dumps(report.failures, indent=1)
        assert report.stopped, f"{event} took longer than the load, whose plan was for {self._plan.seconds} s"
        return report


def plan(address: str, domain: str, token: str, *, rate: float, seconds: float = MOST_SECONDS) -> Plan:
    """What people do, through the proxy: they read more than they write. The token is a candidate's."""
    read = Request("read jobs", "GET", "/api/jobs?limit=1")
    look = Request("read profile", "GET", "/api/profile", token)
    write = Request("write profile", "PATCH", "/api/profile", token, '{"title": "Under load, {number}"}')
    return Plan(
        address=address,
        port=443,
        host=domain,
        tls=True,
        rate=rate,
        seconds=seconds,
        requests=[read, read, look, read, write],
    )
