"""Check mode on a bare host says truthfully what would come, and touches nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from shared import fingerprint
from shared import landscape as landscapes
from shared.landscape import ROOT, Landscape
from shared.playbook import Playbook, Run

RUN = "bare"
HOST = "bare1"
ADDRESS = "10.87.3.10"
PACKAGES_TASK = "base : install | Install the packages of every role in one transaction"
SCHEMA_TASK = "migration : plan | Show what the release would do to the schema"
PLAN_TASK = "deploy : show | Say what would be deployed"


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
def untouched(bare: Landscape) -> dict[str, str]:
    """The whole bare host. Debian's timers stand still from here on, so that only Ansible can change anything."""
    bare.machines[HOST].sh("systemctl stop '*.timer'")
    return fingerprint.whole(bare.machines[HOST])


@pytest.fixture(scope="module")
def checked(bare: Landscape, untouched: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """site.yml --check --diff on the bare host."""
    return Playbook(bare.inventory, tmp_path_factory.mktemp("checked")).run("site.yml", "--check", "--diff")


@pytest.fixture(scope="module")
def touched(bare: Landscape, checked: Run) -> dict[str, str]:
    """The whole host after check mode."""
    return fingerprint.whole(bare.machines[HOST])


def new_packages(said: str) -> list[str]:
    """The packages that apt lists as new."""
    block = re.search(r"^The following NEW packages will be installed:\n((?:  .*\n)+)", said, re.MULTILINE)
    return block[1].split() if block else []


def test_check_mode_succeeds_on_a_bare_host(checked: Run) -> None:
    assert checked.status == 0, checked.output[-6000:]
    assert checked.changes > 0


@pytest.mark.parametrize(
    "package", ["postgresql-15", "python3-psycopg2", "pgbouncer", "haproxy", "nftables", "python3-venv"]
)
def test_check_mode_names_the_packages_to_come(checked: Run, package: str) -> None:
    assert package in new_packages(checked.said_by(PACKAGES_TASK))


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
    assert revision in checked.said_by(SCHEMA_TASK)


@pytest.mark.parametrize("statement", ["CREATE TABLE users", "unique_candidate_job_application"])
def test_check_mode_shows_the_sql_to_come(checked: Run, statement: str) -> None:
    assert statement in checked.said_by(SCHEMA_TASK)


@pytest.mark.parametrize(
    "words", ["the release is not staged, so its revisions are unknown", "psycopg2 is missing here"]
)
def test_check_mode_names_what_cannot_be_known_yet(checked: Run, words: str) -> None:
    said = " ".join(checked.said_by(PLAN_TASK).split())
    assert re.search(rf"not known yet: [^;]*{words}", said), said


def test_check_mode_shows_no_secret(checked: Run, landscape: Landscape) -> None:
    shown = [
        name
        for name, value in landscape.variables.items()
        if name.startswith("vault_") and value in checked.output
    ]
    assert shown == []


def test_check_mode_touches_nothing(untouched: dict[str, str], touched: dict[str, str]) -> None:
    assert "/etc/passwd f root:root 644" in untouched["paths"]
    assert fingerprint.differences(untouched, touched) == []
