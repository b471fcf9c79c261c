"""The product on an API host: which release serves as which colour, and its commands."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.landscape import ROOT
from shared.machine import Machine

COLOURS = ("blue", "green")


@dataclass(frozen=True)
class Product:
    """The product `name` on an API host."""

    machine: Machine
    name: str

    @property
    def colour(self) -> str:
        """The colour that serves."""
        return self.machine.sh(f"readlink /srv/{self.name}/current")

    @property
    def idle_colour(self) -> str:
        """The other one."""
        return next(colour for colour in COLOURS if colour != self.colour)

    @property
    def release(self) -> str:
        """The release that the serving colour runs."""
        return self.machine.sh(f"basename $(readlink /srv/{self.name}/{self.colour})")

    @property
    def record(self) -> dict[str, Any]:
        """What the last deploy wrote down."""
        found: dict[str, Any] = json.loads(self.machine.sh(f"cat /srv/{self.name}/record.json"))
        return found

    @property
    def last_deployment(self) -> dict[str, Any]:
        """The last line of the deployment log."""
        found: dict[str, Any] = json.loads(
            self.machine.sh(f"tail -n 1 /var/log/{self.name}/deployments.jsonl")
        )
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        """What is known of the release that serves."""
        path = f"/srv/{self.name}/releases/{self.release}/manifest.json"
        found: dict[str, Any] = json.loads(self.machine.sh(f"cat {path}"))
        return found

    def unit(self, colour: str) -> str:
        """The unit of a colour."""
        return f"{self.name}-api@{colour}.service"

    def run(self, *words: str, timeout: int = 60) -> str:
        """Run a Python module of the release that serves, as an operator does."""
        return self.machine.sh(f"{self.name}-run -m {shlex.join(words)}", timeout=timeout)

    def state(self) -> dict[str, Any]:
        """All that must be the same after a reboot."""
        return {"colour": self.colour, "release": self.release, "record": self.record}


def changed_release(directory: Path, name: str, content: str) -> dict[str, Any]:
    """The variables that name a release: the application of this repository with one file more, or another one."""
    subprocess.run(
        f"git -C '{ROOT}' archive HEAD backend | tar -x -C '{directory}'", shell=True, check=True, timeout=60
    )
    (directory / "backend" / name).write_text(content)
    git = ["git", "-C", str(directory), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "changed"]):
        subprocess.run([*git, *words], check=True, timeout=60)
    return {"release_repository": str(directory), "release_ref": "HEAD"}
