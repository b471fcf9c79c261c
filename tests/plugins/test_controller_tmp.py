"""Lookup controller_tmp: a file that a run has there is readable by its user alone, and gone when the run is over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = "{{ lookup('controller_tmp') }}/rows"


@pytest.mark.parametrize("ending", ["well", "failed", "unreachable"])
def test_nothing_is_left_of_it_however_the_run_ends(tmp_path: Path, ending: str) -> None:
    last = {
        "well": {"ansible.builtin.meta": "noop"},
        "failed": {"ansible.builtin.fail": {"msg": "no"}},
        "unreachable": {
            "ansible.builtin.ping": {},
            "vars": {"ansible_connection": "ssh", "ansible_port": 1, "ansible_host": "127.0.0.1"},
        },
    }
    tasks = [
        {"ansible.builtin.copy": {"content": "rows", "dest": FILE, "mode": "0644"}},
        {
            "ansible.builtin.command": {"argv": ["stat", "-c", "%a %n", "{{ lookup('controller_tmp') }}"]},
            "register": "seen",
        },
        {"ansible.builtin.debug": {"msg": "seen {{ seen.stdout }}"}},
        last[ending],
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "localhost,",
            str(tmp_path / "play.yml"),
        ],
        cwd=ROOT,
        env=kept | {"ANSIBLE_LOCAL_TEMP": str(tmp_path / "controller"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"seen 700 {tmp_path}/controller/ansible-local-" in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (ending == "well")
    assert list((tmp_path / "controller").iterdir()) == []
