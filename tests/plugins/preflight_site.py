"""A small site in a temporary folder: a role, an inventory, and the preflight play of docs/preflight.md."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STRONG = "Vq7-pL2x-Tz9d-Kc4m"

SPEC: dict[str, Any] = {
    "shop_port": {"type": "int", "default": 18001, "description": "TCP port of the shop."},
    "shop_mode": {"type": "str", "choices": ["fast", "safe"], "default": "safe", "description": "Its mode."},
    "shop_pool": {"type": "int", "default": 10, "description": "Number of sessions of a pool."},
    "shop_password": {"type": "str", "required": True, "no_log": True, "description": "Secret of the shop."},
}
DEFAULTS: dict[str, Any] = {"shop_port": 18001, "shop_mode": "safe", "shop_pool": 10}
INVENTORY: dict[str, Any] = {
    "bundle_max_connections": 100,
    "shop_password": "{{ vault_shop_password }}",
    "vault_shop_password": STRONG,
}


@dataclass
class Run:
    """What ansible-playbook did."""

    returncode: int
    output: str

    def results(self, task: str) -> dict[str, dict[str, Any]]:
        """Each host's result of the task."""
        assert "{" in self.output, self.output
        found, _ = json.JSONDecoder().raw_decode(self.output, self.output.index("{"))
        for play in found["plays"]:
            for entry in play["tasks"]:
                if entry["task"]["name"] == task:
                    return dict(entry["hosts"])
        raise AssertionError(f"no task {task!r} in {self.output}")

    def problems(self, host: str = "one") -> list[dict[str, str]]:
        """The problems of one host."""
        return list(self.results("preflight | Collect the problems of every host")[host]["problems"])

    @property
    def report(self) -> str:
        """What the play said when it stopped."""
        hosts = self.results("preflight | Stop while there is a problem")
        return str(next(iter(hosts.values()))["msg"])


@dataclass
class Site:
    """The site; change its parts before `run`."""

    folder: Path
    variables: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(INVENTORY))
    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    defaults: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(DEFAULTS))
    requirements: dict[str, Any] = field(default_factory=dict)
    host_variables: dict[str, dict[str, Any]] = field(default_factory=lambda: {"one": {}})
    roles: list[str] = field(default_factory=lambda: ["shop"])
    gather_facts: bool = False
    groups: dict[str, list[str]] = field(default_factory=dict)

    @property
    def touched(self) -> bool:
        """Whether a play after preflight has run."""
        return (self.folder / "touched").exists()

    def write_role(self, name: str, spec: Any, defaults: Any, requirements: Any = None) -> None:
        """Writes roles/NAME."""
        role = self.folder / "roles" / name
        files = {
            "meta/argument_specs.yml": {"argument_specs": {"main": {"options": spec}}},
            "defaults/main.yml": defaults,
            "meta/preflight.yml": requirements or {},
        }
        for path, content in files.items():
            (role / path).parent.mkdir(parents=True, exist_ok=True)
            (role / path).write_text(yaml.safe_dump(content))

    def run(self, *arguments: str, plays: list[dict[str, Any]] | None = None) -> Run:
        """Runs the play of the documentation, then one that leaves a mark."""
        self.write_role("shop", self.spec, self.defaults, self.requirements)
        connection = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts = {name: connection | own for name, own in self.host_variables.items()}
        inventory = self.folder / "inventories" / "shelf" / "hosts.yml"
        inventory.parent.mkdir(parents=True, exist_ok=True)
        children: dict[str, Any] = {
            group: {"hosts": {member: {} for member in members}} for group, members in self.groups.items()
        }
        landscape = {"hosts": hosts, "vars": self.variables, "children": children}
        inventory.write_text(yaml.safe_dump({"all": landscape}))
        mark = {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.file": {"path": str(self.folder / "touched"), "state": "touch"}}],
        }
        (self.folder / "site.yml").write_text(
            yaml.safe_dump(
                [*(plays or [documented_play(self.roles, self.gather_facts)]), mark], sort_keys=False
            )
        )
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(self.folder / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",
        }
        binary = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [binary, "-i", str(inventory), *arguments, "site.yml"]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr)


def documented_play(roles: list[str], gather_facts: bool) -> dict[str, Any]:
    """The play that docs/preflight.md tells people to use, with other roles and without root."""
    text = (ROOT / "docs" / "preflight.md").read_text()
    block = re.search(r"```yaml\n(- name: Preflight\n.*?)```", text, re.DOTALL)
    assert block, "docs/preflight.md no longer shows the play"
    play: dict[str, Any] = yaml.safe_load(block[1])[0]
    play["become"] = False
    play["gather_facts"] = gather_facts
    play["tasks"][0]["preflight"] = {"roles_by_group": {"all": roles}}
    return play
