"""The pgBouncer of this host holds its clients while the cluster behind it is exchanged."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

UNIT = "pgbouncer.service"
USER = "pgbouncer"
SOCKETS = "/run/pgbouncer"
TIMER = "resume-pgbouncer"


class PoolerError(Exception):
    """The pooler refused, or did not answer in time; its clients go on."""


@dataclass(frozen=True)
class Pooler:
    """pgBouncer's console. Who is pgBouncer's own system user needs no password at its socket."""

    port: int

    def is_running(self) -> bool:
        """Whether there is one with clients to protect."""
        return subprocess.run(["systemctl", "is-active", "--quiet", UNIT], check=False).returncode == 0

    def run(self, command: str, seconds: float = 10) -> None:
        """Run a command of the console.

        Raises:
            PoolerError: with what it said, or that it took longer than `seconds`.
        """
        psql = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--host={SOCKETS}", f"--port={self.port}"]
        line = [*psql, f"--username={USER}", "--dbname=pgbouncer", f"--command={command}"]
        try:
            done = subprocess.run(
                line,
                check=False,
                capture_output=True,
                text=True,
                timeout=seconds,
                cwd="/",
                # Its own system user is an administrator of its console, without a password.
                user=USER,
                group=USER,
                extra_groups=[],
            )
        except subprocess.TimeoutExpired as late:
            raise PoolerError(f"{command} of {UNIT} did not end within {seconds:g} s") from late
        if done.returncode:
            raise PoolerError(f"{command} of {UNIT} failed: {done.stderr.strip()}")

    @contextlib.contextmanager
    def paused(self, seconds: float, resume_after: int) -> Iterator[None]:
        """Hold the clients between two transactions while the block runs; nothing happens where no pooler runs.

        `seconds` is how long open transactions may take to end, `resume_after` when systemd resumes by itself, should
        this process be gone by then.

        Raises:
            PoolerError: a transaction stayed open; the clients go on.
        """
        if not self.is_running():
            yield
            return
        self._arm(resume_after)
        try:
            try:
                self.run("PAUSE", seconds)
            except PoolerError as error:
                # By a run that was killed.
                if "already suspended/paused" not in str(error):
                    raise
            yield
        finally:
            # Where RESUME fails, what was armed does it, by a signal.
            with contextlib.suppress(PoolerError):
                self.run("RESUME")
                self._disarm()

    def _arm(self, seconds: int) -> None:
        self._disarm()
        # SIGUSR2 is RESUME.
        kill = ["systemctl", "kill", "--kill-who=main", "--signal=SIGUSR2", UNIT]
        timer = ["systemd-run", "--quiet", "--collect", f"--on-active={seconds}", f"--unit={TIMER}", *kill]
        subprocess.run(timer, check=True, capture_output=True)

    @staticmethod
    def _disarm() -> None:
        subprocess.run(["systemctl", "stop", f"{TIMER}.timer"], check=False, capture_output=True)
