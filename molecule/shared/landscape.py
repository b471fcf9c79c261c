"""The hosts of a scenario and what its inventory says about them."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import testinfra

from shared.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
# A dead connection ends by itself: a host that reboots does not always say goodbye.
SSH_ARGUMENTS = "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"
RUNS = Path("/var/lib/gitops-bundle/runs")


@dataclass(frozen=True)
class Landscape:
    """An inventory, its run of the test bed, and its hosts by name."""

    inventory: Path
    run: str
    machines: dict[str, Machine]
    groups: dict[str, list[str]]
    variables: dict[str, Any] = field(repr=False)

    def first(self, group: str) -> Machine:
        """The first host of a group."""
        return self.machines[self.groups[group][0]]

    def value(self, name: str) -> str:
        """A variable of the inventory that is no template."""
        found = str(self.variables[name])
        assert "{{" not in found, f"{name} is a template in the inventory: {found}"
        return found

    def lose_power(self, machine: Machine) -> None:
        """A host loses power and boots again."""
        self.testbed("power-cut", machine.name)
        self.testbed("start", machine.name)

    def testbed(self, *words: str, timeout: int = 120) -> None:
        """Run a command of the test bed on this run; AssertionError with what it says when it fails."""
        command, host = words[0], words[1]
        line = ["/usr/bin/python3", str(ROOT / "molecule" / "testbed"), command, self.run, host]
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def read(inventory: Path) -> Landscape:
    """Ask Ansible what the inventory says; secrets of the local inventory are not encrypted."""
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(inventory), "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    by_host: dict[str, dict[str, Any]] = found["_meta"]["hostvars"]
    known_hosts = next(iter(by_host.values()))["ansible_ssh_common_args"]
    match = re.search(r"/runs/([^/]+)/known_hosts", known_hosts)
    assert match, f"{inventory} does not say which run of the test bed it is for: {known_hosts}"
    config = str(RUNS / match[1] / "ssh_config")
    machines = {}
    for name, variables in by_host.items():
        host = testinfra.get_host(f"ssh://{name}", ssh_config=config, ssh_extra_args=SSH_ARGUMENTS)
        machines[name] = Machine(name, variables["bundle_address"], host)
    groups = {name: group["hosts"] for name, group in found.items() if "hosts" in group}
    merged = {key: value for variables in by_host.values() for key, value in variables.items()}
    return Landscape(inventory, match[1], machines, groups, merged)
