"""scripts/try: what can be known without a host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.support import trial

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "try"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_teaches_the_steps_and_the_way_back() -> None:
    text = run("--help").stdout
    for word in ("site.yml", "sample data", "Ctrl-C", "--destroy"):
        assert word in text


@pytest.mark.parametrize("arguments", [["--purge"], ["--jobs", "-1"], ["--jobs", "many"]])
def test_a_wrong_argument_is_refused_before_anything_happens(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: scripts/try" in done.stderr


def test_the_host_that_it_boots_is_the_one_of_the_local_inventory() -> None:
    inventory = yaml.safe_load((ROOT / "inventories" / "local" / "hosts.yml").read_text())["all"]
    assert inventory["hosts"][trial.HOST]["ansible_host"] == trial.ADDRESS
    assert inventory["vars"]["ansible_ssh_private_key_file"] == str(trial.STATE / "ssh" / "id_ed25519")
    assert f"runs/{trial.RUN}/known_hosts" in inventory["vars"]["ansible_ssh_common_args"]


def test_a_task_is_shown_by_its_name() -> None:
    assert trial.task_name("TASK [api : configure | Render [x]] ****") == "api : configure | Render [x]"
