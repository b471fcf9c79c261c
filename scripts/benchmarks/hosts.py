"""Throwaway hosts for benchmarks, from the test bed, and the project's playbooks on them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
    """A host of the test bed. `bed` is its run there: what has one of its own can go on beside other benchmarks."""

    name: str
    address: str
    bed: str = RUN

    @property
    def ssh_config(self) -> Path:
        """The file for `ssh -F`."""
        return STATE / "runs" / self.bed / "ssh_config"

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

    def testbed(self, command: str) -> None:
        """Do one of the test bed's things to it, such as `power-cut`.

        Raises:
            BenchmarkError: if that fails.
        """
        timed([sys.executable, TESTBED, command, self.bed, self.name], f"{command} of {self.name} failed")


@contextlib.contextmanager
def fresh_hosts(*hosts: Host, keep: bool = False, reuse: bool = False) -> Iterator[None]:
    """Boot the bare hosts of one run; remove them afterwards, also when the benchmark is stopped.

    With `reuse` those that `keep` has left are taken as they are.

    Raises:
        BenchmarkError: if they do not boot.
    """

    def give_up(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, give_up)
    bed = hosts[0].bed
    wanted = [f"--host={host.name}={host.address}" for host in hosts]
    try:
        fresh = ["--fresh"] * (not reuse)
        timed([sys.executable, TESTBED, "up", bed, *wanted, *fresh], "the hosts did not boot")
        yield
    finally:
        # A second Ctrl-C must not leave half of it behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not keep:
            subprocess.run([sys.executable, TESTBED, "down", bed], check=False, capture_output=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def write_inventory(directory: Path, host: Host) -> Path:
    """Write an inventory with one host that plays every part and the variables of inventories/local;
    return it.
    """
    return write_landscape(directory / host.name, {host: GROUPS})


def write_landscape(inventory: Path, parts: Mapping[Host, Sequence[str]]) -> Path:
    """Write an inventory with these hosts, each in its groups, and the variables of inventories/local; return it."""
    inventory.mkdir(parents=True)
    (inventory / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
    hosts = "".join(
        # The repository is a variable of the host: group_vars/all would win over one of the group.
        f"    {host.name}: {{ansible_host: {host.address}, bundle_address: {host.address},"
        f" release_repository: {ROOT}}}\n"
        for host in parts
    )
    groups = "".join(
        f"    {group}: {{hosts: {{{', '.join(f'{host.name}: {{}}' for host in parts if group in parts[host])}}}}}\n"
        for group in GROUPS
    )
    bed = next(iter(parts)).bed
    (inventory / "hosts.yml").write_text(
        f"all:\n  hosts:\n{hosts}"
        f"  vars:\n    ansible_user: root\n"
        f"    ansible_ssh_private_key_file: {STATE}/ssh/id_ed25519\n"
        f"    ansible_ssh_common_args: -o UserKnownHostsFile={STATE}/runs/{bed}/known_hosts\n"
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
