"""The API as hosts run it: a uvicorn process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from harness.migrations import BACKEND
from harness.wait import free_port, until

# Attempts are counted in the database by address, and all tests come from one: so what one server's tests try
# would use up what another's may. A test of limits names its own.
NO_LIMITS = "100000"
# Seconds beyond a limit that a test has set: the busiest machine needs fewer, and what hangs takes more.
SLACK = 10
# No healthy answer comes near it, however busy the machine is.
PATIENCE = 30
JWT_SECRET = "a-secret-of-the-tests-with-more-than-32-characters"


class Server:
    """One uvicorn worker on a free port of the loopback interface."""

    def __init__(
        self, database_url: str, log: Path, application: str = "app.main:app", **variables: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._application = application
        self._environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "JWT_SECRET": JWT_SECRET,
            "RELEASE_ID": "release-under-test",
            "DRAIN_SECONDS": "0",
            "RATE_LIMIT_FACTOR": NO_LIMITS,
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Start it and wait until it answers."""
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "uvicorn",
                    self._application,
                    "--port",
                    str(self.port),
                    "--no-access-log",
                    # Longer than a client under load leaves a connection idle before it uses it again.
                    "--timeout-keep-alive",
                    "75",
                ],
                cwd=BACKEND,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        until(self._answers, "the API answers on /health", seconds=60)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output()
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One GET on a connection of its own; `options` are those of httpx."""
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request on a connection of its own; `options` are those of httpx."""
        return httpx.request(method, self.url + path, **{"timeout": PATIENCE, **options})

    def tell_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it and wait for its end."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def output(self) -> str:
        """What it wrote to its log."""
        return self._log.read_text()
