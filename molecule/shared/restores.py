"""Restores on a database host: its commands, and what must never change."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

from shared.machine import Machine

DATA = "/var/lib/postgresql/15"
REPOSITORY = "/var/lib/pgbackrest"
METRICS = "/var/lib/prometheus/node-exporter"
SAMPLE = re.compile(r"(\w+)(?:\{.*\})? (\S+)")
# All but the lists of what is there, which grow with each backup, and what is being written just now.
STORED = f"cd {REPOSITORY} && find . -type f ! -name '*.info*' ! -name '*.tmp' -print0 | xargs -0 sha256sum"


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

    def labels(self) -> list[str]:
        """The backups that have a directory, whole or not, the oldest first."""
        return self.machine.sh(f"cd {REPOSITORY}/backup/intowork && ls -d 2*").split()

    def figures(self, job: str) -> dict[str, float]:
        """The figures that a job has left for Prometheus."""
        lines = self.machine.sh(f"grep -v '^#' {METRICS}/bundle_{job}.prom").splitlines()
        return {found[1]: float(found[2]) for line in lines if (found := SAMPLE.fullmatch(line))}

    def verified(self, *words: str) -> list[str]:
        """What bundle-verify-backups finds to be wrong, each with its subject."""
        line = shlex.join(["bundle-verify-backups", *words, "--format", "json"])
        report = json.loads(self.machine.sh(line, ok=(0, 1, 2), timeout=120))
        return [
            f"{one['subject']}: {one['message']}" for one in report["findings"] if one["level"] == "critical"
        ]

    def timeline(self) -> int:
        """The timeline of the live cluster."""
        statement = "SELECT timeline_id FROM pg_control_checkpoint()"
        return int(
            self.machine.sh(f'psql -XAt -h /var/run/postgresql -U postgres -d postgres -c "{statement}"')
        )

    def back_up(self, kind: str) -> None:
        """Make a backup as cron does."""
        self.machine.sh(f"systemctl start backup@{kind}", timeout=120)
