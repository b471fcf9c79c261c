"""The repository is on another host: the database goes back from there, and the backups are proven there."""

from __future__ import annotations

import json

import pytest

from shared.backups import Backups
from shared.playbook import Playbook, Run
from shared.restores import Restores
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.wait import until
from shared.web import Web


def full_backups(backups: Backups) -> int:
    """How many full backups the repository has."""
    return backups.pgbackrest(backups.keeper, "info").count("full backup: ")


class Story:
    """What is known from one step to the next."""

    backups_before = 0
    requests: Requests


@pytest.fixture(scope="module")
def story() -> Story:
    """The story."""
    return Story()


@pytest.fixture(scope="module")
def restored(backups: Backups, playbook: Playbook, sql: Endpoints, web: Web, story: Story) -> Run:
    """A table is dropped, and the database goes back to before that."""
    until(lambda: full_backups(backups), seconds=120, what="the first full backup")
    superuser = sql.superuser
    superuser("DROP TABLE IF EXISTS precious", "CREATE TABLE precious AS SELECT 1 AS id")
    moment = Restores(backups.database).moment()
    superuser("DROP TABLE precious")
    story.backups_before = full_backups(backups)
    with Requests(web) as story.requests:
        return playbook.must("playbooks/restore.yml", restore_target=moment, restore_confirm=True)


def test_dropped_table_is_back(restored: Run, sql: Endpoints) -> None:
    assert sql.superuser("SELECT id FROM precious") == "1"


def test_no_request_of_the_api_hosts_fails(restored: Run, story: Story) -> None:
    assert story.requests.failures == []
    assert story.requests.answered > 0


def test_full_backup_follows_on_the_backup_host(restored: Run, backups: Backups, story: Story) -> None:
    assert full_backups(backups) == story.backups_before + 1


def test_wal_of_the_new_timeline_arrives_there(restored: Run, backups: Backups) -> None:
    segment = backups.switch()
    assert segment.startswith(f"{Restores(backups.database).timeline():08X}")
    backups.arrives(segment)


def test_backups_are_verified_there_across_the_restore(restored: Run, backups: Backups) -> None:
    said = Restores(backups.keeper).verified()
    assert [text for text in said if "stale" not in text] == []


def test_drill_restores_there(restored: Run, backups: Backups) -> None:
    report = json.loads(backups.keeper.sh("bundle-drill --format json 2>/dev/null", ok=(0, 1), timeout=300))
    said = {finding["subject"]: finding["level"] for finding in report["findings"]}
    assert (said["moment"], said["rows"], said["amcheck"], said["checksums"]) == ("ok",) * 4


def test_dump_is_told_to_be_there_with_what_brings_it_here(restored: Run, backups: Backups) -> None:
    backups.keeper.sh("bundle-backup dump", timeout=120)
    refused = Restores(backups.database).refusal("dump", "--table=jobs")
    assert f"Dumps are made and kept on {backups.keeper.address}" in refused
    assert f"ssh root@{backups.keeper.address} tar -C /var/backups/intowork" in refused
