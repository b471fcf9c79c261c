"""Throwaway hosts for benchmarks, from the test bed, and the project's playbooks on them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from scripts.benchmarks.cluster import BenchmarkError
from scripts.support.paths import ROOT, STATE, TESTBED, VENV

RUN = "bench"
# They play all parts of the landscape, as the host of scripts/try does.
GROUPS = ("database", "api", "haproxy", "backup", "monitoring", "control")


@dataclass(frozen=True)
class Host:
    """A host of the test bed."""

    name: str
    address: str

    @property
    def ssh_config(self) -> Path:
        """The file for `ssh -F`."""
        return STATE / "runs" / RUN / "ssh_config"

    def run(self, command: str) -> str:
        """Run a shell command on the host and return what it prints.

        Raises:
            BenchmarkError: if it fails.
        """
        done = subprocess.run(
            ["ssh", "-F", str(self.ssh_config), self.name, command],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{self.name}: {command}: {done.stderr.strip()}")
        return done.stdout

    def put(self, file: Path, path: str) -> None:
        """Copy a file of this machine to `path` on the host.

        Raises:
            BenchmarkError: if that fails.
        """
        done = subprocess.run(
            ["scp", "-q", "-F", str(self.ssh_config), str(file), f"{self.name}:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{self.name}: {file} to {path}: {done.stderr.strip()}")


@contextlib.contextmanager
def fresh_hosts(*hosts: Host, keep: bool = False) -> Iterator[None]:
    """Boot bare hosts; remove them afterwards, also when the benchmark is stopped.

    Raises:
        BenchmarkError: if they do not boot.
    """

    def give_up(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, give_up)
    wanted = [f"--host={host.name}={host.address}" for host in hosts]
    try:
        timed([sys.executable, TESTBED, "up", RUN, *wanted, "--fresh"], "the hosts did not boot")
        yield
    finally:
        if not keep:
            subprocess.run([sys.executable, TESTBED, "down", RUN], check=False, capture_output=True)


def write_inventory(directory: Path, host: Host) -> Path:
    """Write an inventory with one host that plays every part and the variables of inventories/local;
    return it.
    """
    inventory = directory / host.name
    inventory.mkdir(parents=True)
    (inventory / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
    groups = "".join(f"    {group}: {{hosts: {{{host.name}: {{}}}}}}\n" for group in GROUPS)
    (inventory / "hosts.yml").write_text(
        f"all:\n  hosts:\n    {host.name}: {{ansible_host: {host.address}, bundle_address: {host.address}}}\n"
        "  vars:\n    ansible_user: root\n"
        f"    ansible_ssh_private_key_file: {STATE}/ssh/id_ed25519\n"
        f"    ansible_ssh_common_args: -o UserKnownHostsFile={STATE}/runs/{RUN}/known_hosts\n"
        f"  children:\n{groups}"
    )
    return inventory


def playbook(inventory: Path, cache: Path, *arguments: str) -> tuple[float, str]:
    """Run ansible-playbook and return its seconds and what it printed, every task's time included.

    Args:
        cache: where built releases are kept, instead of the user's own cache.

    Raises:
        BenchmarkError: if it fails.
    """
    return timed(
        [
            VENV / "bin" / "ansible-playbook",
            f"--inventory={inventory}",
            f"--extra-vars=release_repository={ROOT}",
            *arguments,
        ],
        "the playbook failed",
        {**os.environ, **ansible_environment(cache)},
    )


def build_release(inventory: Path, cache: Path) -> None:
    """Build the release into the cache, so that fetching the wheels is not part of what follows."""
    timed(
        [
            VENV / "bin" / "ansible",
            "api",
            f"--inventory={inventory}",
            f"--extra-vars=release_repository={ROOT}",
            "--module-name=ansible.builtin.include_role",
            "--args=name=release tasks_from=build",
        ],
        "the release cannot be built",
        {**os.environ, **ansible_environment(cache)},
    )


def ansible_environment(cache: Path) -> dict[str, str]:
    """Return what Ansible's environment has beside ours."""
    return {
        "PATH": f"{VENV}/bin:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(cache),
        "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all",
        "ANSIBLE_NOCOLOR": "1",
    }


def timed(
    command: list[str | Path], failure: str, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Run a command in the repository and return its seconds and its output.

    Raises:
        BenchmarkError: with the end of its output, if it fails.
    """
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=environment,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-60:])
        raise BenchmarkError(f"{failure}; {command[0]} ended with {done.returncode}:\n{last}")
    return seconds, done.stdout


def changed(output: str) -> int:
    """Return how many tasks a playbook changed, from its recap.

    Raises:
        BenchmarkError: if there is no recap.
    """
    counts = re.findall(r"^\S+ +: ok=\d+ +changed=(\d+) ", output, re.MULTILINE)
    if not counts:
        raise BenchmarkError("ansible-playbook printed no recap; the end of its output:\n" + output[-2000:])
    return sum(map(int, counts))


def task_seconds(output: str) -> list[tuple[str, float]]:
    """Return the tasks and their seconds, slowest first, from what ansible.posix.profile_tasks prints."""
    found = re.findall(r"^(\S.*?) -{2,} +([0-9.]+)s$", output, re.MULTILINE)
    return sorted(((task, float(seconds)) for task, seconds in found), key=lambda pair: -pair[1])
