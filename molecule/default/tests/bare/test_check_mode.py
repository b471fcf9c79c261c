"""Check mode on a bare host says truthfully what would come, and touches nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from shared import landscape as landscapes
from shared.landscape import ROOT, Landscape
from shared.playbook import Playbook, Run

RUN = "bare"
HOST = "bare1"
ADDRESS = "10.87.3.10"
# Not the package lists: those have to be fresh before anyone can say which packages would come.
TOUCHED = (
    "dpkg-query --show; find /etc /srv /usr/local /var/lib -path /var/lib/apt/lists -prune "
    "-o -newer /run/before -not -type d -print | sort"
)


def bed(*words: str) -> None:
    """Run a command of the test bed."""
    command = ["/usr/bin/python3", str(ROOT / "molecule" / "testbed"), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def bare(landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landscape]:
    """A host of its own that nobody has touched, with the scenario's inventory."""
    directory = tmp_path_factory.mktemp("bare") / "inventory"
    directory.mkdir()
    (directory / "group_vars").symlink_to((landscape.inventory / "group_vars").resolve())
    groups = ("database", "api", "haproxy", "backup", "monitoring", "control")
    host = {"ansible_host": ADDRESS, "bundle_address": ADDRESS, "release_repository": str(ROOT)}
    hosts = {
        "hosts": {HOST: host},
        "vars": {
            name: str(landscape.variables[name]).replace(f"/runs/{landscape.run}/", f"/runs/{RUN}/")
            for name in ("ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
        },
        "children": {group: {"hosts": {HOST: {}}} for group in groups},
    }
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": hosts}))
    bed("up", RUN, f"--host={HOST}={ADDRESS}", "--fresh")
    yield landscapes.read(directory)
    bed("down", RUN)


@pytest.fixture(scope="module")
def touched(bare: Landscape, checked: Run) -> str:
    """What check mode did to the host: its packages, and the files that are younger than the run."""
    return bare.machines[HOST].sh(TOUCHED)


@pytest.fixture(scope="module")
def packages(bare: Landscape) -> str:
    """The packages of the bare host; and a file by which what comes later is known."""
    return bare.machines[HOST].sh("touch /run/before; dpkg-query --show")


@pytest.fixture(scope="module")
def checked(bare: Landscape, packages: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """site.yml --check --diff on the bare host."""
    return Playbook(bare.inventory, tmp_path_factory.mktemp("checked")).run("site.yml", "--check", "--diff")


def test_check_mode_succeeds_on_a_bare_host(checked: Run) -> None:
    assert checked.status == 0, checked.output[-6000:]
    assert checked.changes > 0


@pytest.mark.parametrize("package", ["postgresql-15", "pgbouncer", "haproxy"])
def test_check_mode_names_the_packages_to_come(checked: Run, package: str) -> None:
    assert re.search(
        rf"^(The following NEW packages|.*\bInst\b|\s).*\b{package}\b", checked.output, re.MULTILINE
    )


@pytest.mark.parametrize(
    "path",
    [
        *("pg_hba.conf", "pgbouncer.ini", "haproxy.cfg", "nftables.conf", "api@.service"),
        *("job-sessions@.service", "cron.d/intowork"),
    ],
)
def test_check_mode_shows_the_files_to_come(checked: Run, path: str) -> None:
    assert re.search(rf"^\+\+\+ .*{re.escape(path)}", checked.output, re.MULTILINE)


@pytest.mark.parametrize("revision", ["a1d5f9b8c7e6", "h8c2d6e5f4g3"])
def test_check_mode_names_the_revisions_to_come(checked: Run, revision: str) -> None:
    assert revision in checked.output


@pytest.mark.parametrize("statement", ["CREATE TABLE users", "unique_candidate_job_application"])
def test_check_mode_shows_the_sql_to_come(checked: Run, statement: str) -> None:
    assert statement in checked.output


def test_check_mode_shows_no_secret(checked: Run, landscape: Landscape) -> None:
    shown = [
        name
        for name, value in landscape.variables.items()
        if name.startswith("vault_") and value in checked.output
    ]
    assert shown == []


def test_check_mode_touches_nothing(packages: str, touched: str) -> None:
    assert touched == packages
