"""Restores on a database host: its commands, and what must never change."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from shared.machine import Machine

DATA = "/var/lib/postgresql/15"
REPOSITORY = "/var/lib/pgbackrest"
# All but the lists of what is there, which grow with each backup.
STORED = f"cd {REPOSITORY} && find . -type f ! -name '*.info*' -print0 | xargs -0 sha256sum"


@dataclass(frozen=True)
class Restores:
    """The commands of the database host `machine`."""

    machine: Machine

    def restore(self, *words: str, ok: tuple[int, ...] = (0,), seconds: int = 120) -> dict[str, Any]:
        """Run bundle-restore and return its report; the exit status has to be one of `ok`."""
        line = shlex.join(["bundle-restore", *words, "--format", "json"])
        report: dict[str, Any] = json.loads(self.machine.sh(line, ok=ok, timeout=seconds))
        return report

    def refusal(self, *words: str) -> str:
        """Run bundle-restore, which has to refuse, and return all that it says is in the way."""
        report = self.restore(*words, ok=(2,))
        return "\n".join(
            finding["message"] for finding in report["findings"] if finding["level"] == "critical"
        )

    def moment(self) -> str:
        """Now, by the host's clock; what is committed next is younger."""
        return self.machine.sh("date --utc '+%F %T.%6N+00'")

    def stored(self) -> dict[str, str]:
        """The checksum of each file of the repository, by its name: none of them ever changes."""
        lines = self.machine.sh(STORED, timeout=60).splitlines()
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def places(self) -> list[str]:
        """What is beside the live cluster's data, and it."""
        return self.machine.sh(f"ls {DATA}").split()

    def timeline(self) -> int:
        """The timeline of the live cluster."""
        statement = "SELECT timeline_id FROM pg_control_checkpoint()"
        return int(
            self.machine.sh(f'psql -XAt -h /var/run/postgresql -U postgres -d postgres -c "{statement}"')
        )

    def back_up(self, kind: str) -> None:
        """Make a backup as cron does."""
        self.machine.sh(f"systemctl start backup@{kind}", timeout=120)
