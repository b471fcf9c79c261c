"""playbooks/reindex.yml: truthful in check mode, changed when it changed something, silent the second time."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from operator_commands import ROOT, Database


@pytest.fixture
def words(database: Database, tmp_path: Path) -> list[str]:
    """What makes this machine the database host, with a bloated index."""
    database.run(
        "CREATE TABLE events (id int PRIMARY KEY) WITH (autovacuum_enabled = off)",
        "INSERT INTO events SELECT generate_series(1, 20000)",
        "DELETE FROM events WHERE id % 10 > 0",
        "VACUUM ANALYZE events",
    )
    sockets = str(database.value("SHOW unix_socket_directories")).split(",")[0]
    host = {"ansible_connection": "local", "bundle_database": database.name}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"children": {"database": {"hosts": {"db1": host}}}}}))
    variables = {
        "reindex_command": str(ROOT / "scripts/reindex.py"),
        "reindex_options": f"--host {sockets} --bloat-size 8kB",
    }
    return ["-i", str(inventory), "-e", json.dumps(variables)]


def play(*words: str) -> str:
    """Run the playbook; what it printed."""
    path = f"{ROOT}/.venv/bin:{os.environ['PATH']}"
    command = ["ansible-playbook", "playbooks/reindex.yml", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_playbook_says_what_it_would_do_then_does_it_and_then_has_nothing_to_do(words: list[str]) -> None:
    foretold = play(*words, "--check")
    assert "would be rebuilt" in foretold
    assert "changed=0" in foretold
    done = play(*words)
    assert "public.events_pkey: rebuilt in" in done
    assert "changed=1" in done
    again = play(*words)
    assert "nothing to rebuild" in again
    assert "changed=0" in again
