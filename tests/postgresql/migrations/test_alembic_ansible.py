"""As people meet it: through ansible-playbook, the role's entry points and the plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from throwaway import PASSWORD, Server

from product import ROOT, Product

PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Entry point
      ansible.builtin.include_role:
        name: migration
        tasks_from: "{{ entry_point }}"
    - name: Plan
      alembic_plan:
        directory: "{{ migration_directory }}"
        python: "{{ ansible_playbook_python }}"
        from_revision: "{{ migration_status.before }}"
      when: entry_point == 'status'
      register: plan
    - name: Answer
      ansible.builtin.copy:
        content: "{{ {'status': status, 'result': result, 'plan': plan} }}"
        dest: "{{ answer }}"
        mode: "0600"
      check_mode: false
      vars:
        status: "{{ migration_status | default({}) }}"
        result: "{{ migration_result | default({}) }}"
"""


class Playbook:
    """Runs the role on localhost; `output` is what a person sees of the last run."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.product, self.folder, self.output = product, folder, ""
        (folder / "play.yml").write_text(PLAYBOOK)

    def run(self, entry_point: str, *options: str, **variables: object) -> dict[str, Any]:
        answer = self.folder / "answer.json"
        values = {
            "ansible_python_interpreter": sys.executable,
            "entry_point": entry_point,
            "answer": str(answer),
            "bundle_name": "product",
            "bundle_app_user": self.product.roles["app"],
            "migration_directory": str(self.product.folder),
            "migration_python": sys.executable,
            "bundle_direct_url": self.product.url,
            "bundle_alembic_config": "alembic.ini",
            "bundle_version_table": "alembic_version",
            "bundle_database_url_variable": "DATABASE_URL",
            "migration_user": "root",
            "migration_packages": [],
            **variables,
        }
        (self.folder / "variables.json").write_text(json.dumps(values))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", "localhost,", "-e", f"@{self.folder / 'variables.json'}", *options, "-vvv"),
                str(self.folder / "play.yml"),
            ],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp")},
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = done.stdout + done.stderr
        if done.returncode:
            return {"failed": True}
        result: dict[str, Any] = json.loads(answer.read_text())
        return result


@pytest.fixture
def playbook(product: Product, tmp_path: Path) -> Playbook:
    """The role on a product with two revisions."""
    product.table("a1", "users")
    product.table("b2", "jobs")
    return Playbook(product, tmp_path)


def test_role_goes_up_looks_and_goes_down(server: Server, playbook: Playbook) -> None:
    status = playbook.run("status")
    assert [one["revision"] for one in status["status"]["revisions"]] == ["a1", "b2"]
    assert "CREATE TABLE jobs" in status["plan"]["sql"]
    assert playbook.run("upgrade")["result"]["after"] == "b2"
    assert not playbook.run("upgrade")["result"]["changed"]
    down = playbook.run("downgrade", migration_revision="a1")
    assert (down["result"]["after"], server.tables) == ("a1", {"users"})


def test_check_with_diff_shows_the_sql_and_no_secret(server: Server, playbook: Playbook) -> None:
    result = playbook.run("upgrade", "--check", "--diff")
    assert result["result"]["changed"]
    assert "+CREATE TABLE users (id integer PRIMARY KEY, name text);" in playbook.output
    assert "+++ after: the database at b2" in playbook.output
    assert PASSWORD not in playbook.output
    assert playbook.product.url not in playbook.output
    assert server.tables == set()


def test_bare_host_in_check_mode_is_no_failure(playbook: Playbook) -> None:
    result = playbook.run(
        "upgrade",
        "--check",
        "--diff",
        migration_directory="/srv/product/current/source",
        migration_python="/srv/product/current/venv/bin/python",
        bundle_direct_url="postgresql+psycopg://m:s3cr3tvalue@127.0.0.1:1/product",
        migration_user="product",
    )
    assert result["result"]["changed"]
    assert len(result["result"]["unknown"]) == 2
    assert "s3cr3tvalue" not in playbook.output


def test_failed_migration_fails_the_play_with_its_message(playbook: Playbook) -> None:
    playbook.product.add("c3", "ALTER TABLE nowhere ADD x int")
    assert playbook.run("upgrade") == {"failed": True}
    assert 'Migration c3 ("make c3") failed: relation "nowhere" does not exist' in playbook.output
    assert PASSWORD not in playbook.output
