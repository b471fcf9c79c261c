"""A host under test: commands with a time limit, and services that show their journal when they do not run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import testinfra.host


class CommandError(AssertionError):
    """A command on a host failed; the message has what it said."""


@dataclass(frozen=True)
class Machine:
    """A host of the landscape. `host` is testinfra's, `address` the one by which other hosts reach it."""

    name: str
    address: str
    host: testinfra.host.Host

    def sh(self, script: str, *, timeout: int = 30, ok: tuple[int, ...] = (0,)) -> str:
        """Run a bash script and return what it prints, without the last newline.

        Raises CommandError when it ends with a status that is not in `ok`, or after `timeout` seconds (status 124).
        """
        command = f"timeout --kill-after=5 {timeout} bash -o pipefail -c {shlex.quote(script)}"
        done = self.host.run(command)
        if done.rc not in ok:
            raise CommandError(f"on {self.name}, status {done.rc}: {script}\n{done.stdout}{done.stderr}")
        return str(done.stdout).rstrip("\n")

    def is_running(self, unit: str) -> bool:
        """Whether a systemd unit is active."""
        return self.sh(f"systemctl is-active {unit}", ok=(0, 3, 4)) == "active"

    def starts_at_boot(self, unit: str) -> bool:
        """Whether a systemd unit is enabled."""
        return self.sh(f"systemctl is-enabled {unit}", ok=(0, 1, 4)) in {"enabled", "enabled-runtime"}

    def must_run(self, unit: str) -> None:
        """Fail with the end of the unit's journal unless it runs and starts at boot."""
        if not (self.is_running(unit) and self.starts_at_boot(unit)):
            status = self.sh(f"systemctl status --no-pager --lines=0 {unit}", ok=(0, 1, 2, 3, 4))
            raise AssertionError(f"{unit} on {self.name}:\n{status}\n{self.journal(unit)}")

    def journal(self, unit: str, lines: int = 30) -> str:
        """The end of a unit's journal."""
        return self.sh(f"journalctl --unit {unit} --lines {lines} --no-pager --output short-iso")

    def boot_id(self) -> str:
        """What tells this boot of the host from every other."""
        return self.sh(
            "cat /proc/sys/kernel/random/boot_id; stat -c %Y /run/systemd/system; stat -c %Z /proc/1"
        )
