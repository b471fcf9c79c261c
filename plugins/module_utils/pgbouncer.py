"""Talk to the admin console of a pgBouncer on this host: PAUSE, RESUME, RECONNECT, SHOW."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ARGUMENT_SPEC: dict[str, Any] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6432},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "unit": {"type": "str", "default": "pgbouncer.service"},
}


class ConsoleError(Exception):
    """The console refused a command, or did not answer in time."""


class UnreachableError(ConsoleError):
    """Nobody answers where the console should be."""


# psql's exit status for a connection that it could not make.
NO_CONNECTION = 2


@dataclass(frozen=True)
class Console:
    """The admin console of one pgBouncer whose systemd unit is on this host."""

    host: str
    port: int
    user: str
    password: str
    unit: str

    def is_running(self) -> bool:
        """Return whether the pooler's unit is active: one that is not has no clients to protect."""
        done = subprocess.run(["systemctl", "is-active", "--quiet", self.unit], check=False)
        return done.returncode == 0

    def run(self, command: str, *, timeout: float = 10) -> str:
        """Run one console command and return its rows as CSV without a header.

        `timeout` is in seconds. Raises ConsoleError with what pgBouncer said, or when it took longer.
        """
        environment = {
            **os.environ,
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "5",
            "PGSSLMODE": "prefer",
            "PGAPPNAME": "gitops-bundle",
        }
        psql = ["psql", "--no-psqlrc", "--csv", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        target = [
            f"--host={self.host}",
            f"--port={self.port}",
            f"--username={self.user}",
            "--dbname=pgbouncer",
        ]
        try:
            done = subprocess.run(
                [*psql, *target, f"--command={command}"],
                check=False,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=environment,
            )
        except subprocess.TimeoutExpired as late:
            raise ConsoleError(f"{command} on {self.unit} did not finish within {timeout:g} s") from late
        if done.returncode:
            kind = UnreachableError if done.returncode == NO_CONNECTION else ConsoleError
            raise kind(f"{command} on {self.unit} failed: {done.stderr.strip()}")
        return done.stdout

    def arm_resume(self, seconds: int) -> None:
        """Let systemd resume this pooler by itself after `seconds`, should whoever paused it be gone by then.

        By signal (SIGUSR2 is RESUME) and not through the console, so that no secret stands in a unit's command line.
        """
        self.disarm_resume()
        subprocess.run(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                f"--on-active={seconds}",
                f"--unit={self._timer}",
                "systemctl",
                "kill",
                "--kill-who=main",
                "--signal=SIGUSR2",
                self.unit,
            ],
            check=True,
            capture_output=True,
        )

    def disarm_resume(self) -> None:
        """Take back what `arm_resume` set; nothing happens when there is none."""
        subprocess.run(["systemctl", "stop", f"{self._timer}.timer"], check=False, capture_output=True)

    @property
    def _timer(self) -> str:
        return f"resume-{self.unit.removesuffix('.service')}"


@contextlib.contextmanager
def paused(poolers: list[Console], *, pause_timeout: int, resume_after: int) -> Iterator[None]:
    """Hold the clients of all poolers between two transactions; one that refuses resumes all.

    `pause_timeout` and `resume_after` are in seconds. Raises ConsoleError.
    """
    running = [pooler for pooler in poolers if pooler.is_running()]
    try:
        for pooler in running:
            pooler.arm_resume(resume_after)
            pooler.run("PAUSE", timeout=pause_timeout)
        yield
    finally:
        for pooler in running:
            try:
                pooler.run("RESUME")
            except ConsoleError as error:
                if "not paused" not in str(error):
                    continue  # what was armed above resumes it
            pooler.disarm_resume()
