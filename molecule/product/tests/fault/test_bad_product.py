"""What an inventory says of its product and cannot work is told before anything is touched, all of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from shared.playbook import Playbook, Run

BAD: dict[str, Any] = {
    "api_environment": {"FEATURE-X": "hush", "PORT": "80"},
    "api_start_command": "/usr/bin/uvicorn shop.service:app",
    "api_system_packages": ["Lib Magic"],
    "api_writable_paths": ["/etc/shop", "pictures"],
    "api_smoke_paths": ["articles"],
    "bundle_bootstrap_command": "./first-rows.sh",
    "bundle_ready_path": "status",
    "bundle_health_path": "https://shop.test/status",
    "bundle_alembic_config": "alembic.ini",
    "pgbouncer_databases": [{"name": "shop", "owner": "shop_owner", "pool_mode": "pooled"}],
}
# The variable as the list has it, and words that say what is allowed or what to do.
FOUND = {
    "api_environment": 'name "FEATURE-X" must be of letters, digits and _',
    "api_start_command": "begin with the name of a program of the release",
    "api_system_packages": '"Lib Magic" must be the name of a Debian package',
    "api_writable_paths": '"/etc/shop" is below /etc',
    "api_smoke_paths": '"articles" must begin with /',
    "bundle_bootstrap_command": '"./first-rows.sh" must be one line',
    "bundle_ready_path": '"status" must begin with /',
    "bundle_health_path": '"https://shop.test/status" must begin with /',
    "release_alembic_config": "has no file molecule/product/shop/alembic.ini",
    "pgbouncer_databases": "value of pool_mode must be one of: session, transaction, statement",
}


@pytest.fixture(scope="module")
def refused(playbook: Playbook) -> Run:
    """A run with all of it."""
    return playbook.run("playbooks/preflight.yml", **BAD)


def entries(run: Run) -> dict[str, str]:
    """The list of a refusal: what is said, by variable."""
    flat = " ".join(run.output.partition(" found before anything was touched:")[2].split())
    named = [entry.split(": ", 3) for entry in flat.split(" product1: ")[1:]]
    return {words[1].partition(" = ")[0]: ": ".join(words) for words in named}


def test_a_product_that_cannot_work_stops_the_run_before_it_begins(refused: Run) -> None:
    assert refused.status != 0
    assert set(entries(refused)) == set(FOUND)


@pytest.mark.parametrize(("variable", "words"), FOUND.items(), ids=FOUND.keys())
def test_what_cannot_work_is_told_with_what_is_allowed(refused: Run, variable: str, words: str) -> None:
    assert words in entries(refused)[variable]


def test_no_value_of_a_setting_is_told(refused: Run) -> None:
    assert "hush" not in refused.output


def test_a_file_that_is_no_lock_file_is_answered_with_the_command_that_makes_one(playbook: Playbook) -> None:
    run = playbook.run("playbooks/preflight.yml", release_lock_file="pyproject.toml")
    assert run.status != 0
    assert "uv pip compile --generate-hashes" in entries(run)["release_lock_file"]
