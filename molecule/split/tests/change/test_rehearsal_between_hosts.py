"""A rehearsal where the database, the API and the repository are on hosts of their own. One story, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.backups import Backups
from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.product import Product
from shared.releases import Releases, migration
from shared.sql import Endpoints
from shared.wait import until

REHEARSE, PORT = "playbooks/rehearse.yml", 5439
RESTORE = "migration : rehearse_on_clone | Restore a clone"
REFUSAL = "migration : rehearse_on_clone | Refuse what the policy refuses"
CLONE = "/var/lib/bundle-backup/clone"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the controller keeps the reports."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def before(product: Product) -> dict[str, Any]:
    """What serves."""
    return product.state()


@pytest.fixture(scope="module")
def release(
    backups: Backups, sql: Endpoints, before: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A release with a column more, and a backup to restore its clone from."""
    until(
        lambda: "full backup: " in backups.pgbackrest(backups.keeper, "info"),
        seconds=180,
        what="the first full backup",
        interval=1,
    )
    releases = Releases(tmp_path_factory.mktemp("rehearsed") / "repository")
    revision = sql.superuser("SELECT version_num FROM alembic_version")
    up, down = 'op.execute("ALTER TABLE jobs ADD COLUMN remark text")', 'op.drop_column("jobs", "remark")'
    return releases.tag("rehearsed", migration("rehear5ed001", revision, up, down))


@pytest.fixture(scope="module")
def refused(playbook: Playbook, release: dict[str, Any], reports: Path) -> Run:
    """Its rehearsal, under a policy that no lock can meet: all of it is done, and then judged."""
    policy: dict[str, Any] = {
        "migration_rehearsal_lock_seconds": 0.0001,
        "migration_rehearsal_reports": str(reports),
    }
    return playbook.run(REHEARSE, **release, **policy)


@pytest.fixture(scope="module")
def report(refused: Run, reports: Path) -> dict[str, Any]:
    """What it left for programs."""
    (path,) = reports.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_lock_that_the_policy_does_not_allow_is_refused_with_how_long_it_was_held(refused: Run) -> None:
    assert refused.status != 0
    said = " ".join(refused.said_by(REFUSAL).split())
    assert "it holds ACCESS EXCLUSIVE on public.jobs for" in said
    assert "0.0001 s are allowed (migration_rehearsal_lock_seconds)" in said


def test_first_api_host_migrates_a_clone_on_the_host_with_the_repository(
    refused: Run, report: dict[str, Any], api: Machine, backups: Backups
) -> None:
    assert f"ok: [{api.name} -> {backups.keeper.name}" in refused.said_by(RESTORE)
    assert report["measured"]["revisions"][0]["up"]["locks"][0]["relation"] == "public.jobs"
    assert report["measured"]["rows"]["compared"] is True
    assert [finding["kind"] for finding in report["findings"] if finding["action"] == "refuse"] == [
        "exclusive_lock"
    ]


def test_release_that_serves_is_asked_there_from_the_api_host(
    refused: Run, before: dict[str, Any], report: dict[str, Any]
) -> None:
    assert f"release {before['release']}, which serves, lives with the new schema" in refused.output
    assert [answer["status"] for answer in report["smoke"]["answers"]] == [200, 200, 200]


def test_what_serves_and_its_schema_are_as_before(
    refused: Run, before: dict[str, Any], product: Product, sql: Endpoints
) -> None:
    assert product.state() == before
    assert sql.superuser("SELECT version_num FROM alembic_version") == before["record"]["pair"]["revision"]


def test_a_refusal_leaves_nothing_of_the_clone_on_any_host(refused: Run, each_machine: Machine) -> None:
    """No file, no server and no timer of one."""
    assert each_machine.sh(f"ls -A {CLONE} 2>/dev/null", ok=(0, 2)) == ""
    assert each_machine.sh(f"ss -Hltn sport = :{PORT}") == ""
    assert each_machine.sh("systemctl list-units --all --plain --no-legend 'bundle-clone*'") == ""


def test_clone_is_in_reach_of_the_api_hosts_alone(landscape: Landscape, backups: Backups) -> None:
    (rule,) = backups.keeper.sh(f"nft list ruleset | grep 'dport {PORT} '").splitlines()
    addresses = {landscape.machines[name].address for name in landscape.groups["api"]}
    allowed = rule.partition("saddr ")[2].partition("tcp")[0]
    assert set(allowed.replace("{", " ").replace("}", " ").replace(",", " ").split()) == addresses
