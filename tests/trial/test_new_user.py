"""The way of a new user, on a clone: scripts/try, one setting changed, and all of it gone without a trace."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from scripts.support import trial
from scripts.support.trial import ADDRESS, HOST, URL
from shared.playbook import changed_tasks
from shared.wait import until
from testbed import clients, network, state
from testbed.state import Host, Run

ROOT = Path(__file__).resolve().parents[2]
# Few rows: how many there can be is measured elsewhere.
ROWS = ["--jobs", "200", "--applications", "500"]
CHANGE = "pgbouncer_default_pool_size: 30\n"
CHANGED = [
    "pgbouncer : configure | Render the configuration",
    "pgbouncer : service | Run pgBouncer with the configuration on disk",
]
RUN = Run(trial.RUN, [Host(HOST, ADDRESS)])


def output(*command: str) -> str:
    """What a program prints; subprocess.CalledProcessError if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def forwarding() -> str:
    """What ip_forward is once no run of the test bed is left: as it was before the first one."""
    kept = state.state_directory() / "ip_forward.before"
    return (kept if kept.is_file() else network.FORWARDING).read_text().strip()


def traces() -> dict[str, str]:
    """What this machine has of the host, by kind; all of it empty when there is nothing."""
    mark = str(RUN.directory)
    own = {os.getpid(), os.getppid()}
    processes = [
        line
        for line in output("ps", "-eo", "pid=,args=").splitlines()
        if (mark in line or f"gb-{RUN.name}." in line) and int(line.split()[0]) not in own
    ]
    mounts = Path("/proc/1/mountinfo").read_text() + Path("/proc/self/mountinfo").read_text()
    rules = output("nft", "list", "tables")
    return {
        "processes": "\n".join(processes),
        "mounts": "\n".join(line for line in mounts.splitlines() if mark in line),
        "bridge": "\n".join(path.name for path in Path("/sys/class/net").glob(RUN.bridge)),
        "rules": "\n".join(line for line in rules.splitlines() if line.split()[-1] == RUN.table),
        "foreign rules": "\n".join(
            line for line in network.forward_chain().splitlines() if RUN.bridge in line.split()
        ),
        "control groups": "\n".join(map(str, Path("/sys/fs/cgroup").glob(f"**/gb-{RUN.name}.{HOST}"))),
        "files": "\n".join(map(str, RUN.directory.glob("*"))),
    }


@dataclass
class Clone:
    """A clone of this repository and what a person types in it; what each command said is kept."""

    path: Path
    said: dict[str, str] = field(default_factory=dict)

    def types(self, name: str, *command: str) -> str:
        """Run a command; AssertionError with the end of what it said if it fails."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "MOLECULE_", "PYTEST_"))
        }
        environment["PATH"] = f"{self.path / '.venv' / 'bin'}:{environment['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.path,
            env=environment | {"ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-6000:]}"
        self.said[name] = done.stdout
        return done.stdout

    @cached_property
    def first(self) -> str:
        """What scripts/try says on a machine without the host."""
        return self.types("first", "scripts/try", *ROWS)

    @cached_property
    def second(self) -> str:
        """What it says again."""
        assert self.first
        return self.types("second", "scripts/try", *ROWS)

    @cached_property
    def checked(self) -> str:
        """The README's change, written, and what check mode says of it."""
        assert self.second
        with (self.path / "inventories/local/group_vars/database/pgbouncer.yml").open("a") as file:
            file.write(CHANGE)
        return self.types("checked", "ansible-playbook", "site.yml", "--check", "--diff")

    @cached_property
    def applied(self) -> str:
        """What the run says that makes it true."""
        assert self.checked
        return self.types("applied", "ansible-playbook", "site.yml")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A new clone. Its tools are those of this checkout: that they can be installed is seen whenever they are."""
    assert RUN.name not in state.run_names(), "a host of scripts/try is up: `scripts/try --destroy` first"
    path = tmp_path_factory.mktemp("new-user") / "gitops-bundle"
    output("git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(path))
    (path / ".venv").symlink_to(ROOT / ".venv")
    yield Clone(path)
    subprocess.run([sys.executable, str(path / "molecule" / "testbed"), "down", RUN.name], check=True)


@pytest.fixture(scope="module")
def forwarding_before(clone: Clone) -> str:
    """The machine's own setting, looked at before the host is there."""
    return forwarding()


def test_scripts_try_ends_with_an_api_that_has_data(clone: Clone, forwarding_before: str) -> None:
    assert re.search(r"Ready after \d+ s; site\.yml changed [1-9]\d* things on the host", clone.first)
    assert URL in clone.first
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # as the guide says: curl -k
    with urllib.request.urlopen(f"{URL}/api/jobs?limit=1", timeout=10, context=trust) as answer:
        assert len(json.load(answer)["items"]) == 1


def test_each_step_is_shown_with_its_seconds(clone: Clone) -> None:
    for step in ("Base image", f"Host {HOST} at {ADDRESS}", "ansible-playbook site.yml", "Sample data"):
        assert re.search(rf"^  ✓ {re.escape(step)}.* \(\d+\.\d s\)$", clone.first, re.MULTILINE), step


def test_a_second_scripts_try_changes_nothing(clone: Clone) -> None:
    assert "site.yml changed 0 things on the host" in clone.second


def test_check_mode_shows_just_the_setting_that_was_changed(clone: Clone) -> None:
    lines = [line for line in clone.checked.splitlines() if re.match(r"[-+](?!--|\+\+)", line)]
    assert lines == ["-default_pool_size = 25", "+default_pool_size = 30"]
    # The reload follows from the file, which is as it was.
    assert changed_tasks(clone.checked) == CHANGED[:1]


def test_the_next_run_makes_just_that_change(clone: Clone) -> None:
    assert changed_tasks(clone.applied) == CHANGED
    console = [
        *trial.SSH.split(),
        HOST,
        *["sudo", "-u", "pgbouncer", "psql", "-p", "6432", "-h", "/run/pgbouncer", "pgbouncer"],
    ]
    settings = output(*console, "-Atc", "'SHOW CONFIG'")
    assert re.search(r"^default_pool_size\|30\|", settings, re.MULTILINE)


def test_nothing_in_the_clone_is_changed_but_what_the_user_wrote(clone: Clone) -> None:
    assert clone.applied
    status = output("git", "-C", str(clone.path), "status", "--porcelain").splitlines()
    # The link to the tools is this test's own: git ignores the directory that it stands for.
    assert [line for line in status if line != "?? .venv"] == [
        " M inventories/local/group_vars/database/pgbouncer.yml"
    ]


def test_destroy_leaves_no_trace(clone: Clone, forwarding_before: str) -> None:
    assert clone.applied
    there = {kind for kind, found in traces().items() if found}
    assert there >= {"processes", "bridge", "rules", "files"}
    masters = clients.clients_of(RUN)
    assert masters, "Ansible has left no connection behind that could stay"
    clone.types("destroy", "scripts/try", "--destroy")
    assert {kind: found for kind, found in traces().items() if found} == {}
    until(
        lambda: not [process for process in masters if Path("/proc", str(process), "cwd").exists()],
        seconds=5,
        what="the end of the controller's SSH connections",
    )
    assert forwarding() == forwarding_before
    if not state.run_names():
        assert network.FORWARDING.read_text().strip() == forwarding_before
