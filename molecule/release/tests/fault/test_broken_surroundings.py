"""What a release needs of its surroundings is not there: nothing is switched, and the message says what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer, Releases
from shared.sql import Endpoints
from shared.standing import Unharmed, standing
from shared.wait import until
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
ARCHIVES = "/srv/intowork/archives"
# As the role release has it.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gitops-bundle", "releases")


@contextmanager
def stopped(machine: Machine, unit: str, web: Web) -> Iterator[None]:
    """A unit that does not run in the block; after it the service answers again."""
    machine.sh(f"systemctl stop {unit}", timeout=60)
    try:
        yield
    finally:
        machine.sh(f"systemctl start {unit}", timeout=60)
        until(lambda: web.get("/api/jobs?limit=1").status == 200, seconds=60, what="the service's answer")


@pytest.fixture
def staged_later(newer: Newer) -> dict[str, Any]:
    """A release that is built here and not on the host yet."""
    return newer("staged-later", files={"app/staged.py": '"""A release that is staged in the end."""\n'})


def test_a_full_disk_while_staging_is_told_and_nothing_is_switched(
    playbook: Playbook, api: Machine, staged_later: dict[str, Any], unharmed: Unharmed
) -> None:
    api.sh(f"mount -t tmpfs -o size=1m full {ARCHIVES}")
    try:
        with unharmed("the disk is full while a release is staged"):
            run = playbook.run(DEPLOY, **staged_later)
    finally:
        api.sh(f"umount {ARCHIVES}")
    run.says("No space left on device", "Correct the cause and run site.yml again.")


def test_a_corrupted_artifact_is_noticed_and_built_anew(
    playbook: Playbook, product: Product, web: Web, releases: Releases, staged_later: dict[str, Any]
) -> None:
    # The test before has it built.
    [archive] = [
        path.with_name("release.tar.gz")
        for path in CACHE.glob("*/manifest.json")
        if json.loads(path.read_text())["tree"] == releases.tree("staged-later")
    ]
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2] + b"\0" * 64 + whole[len(whole) // 2 + 64 :])
    run = playbook.must(DEPLOY, **staged_later)
    assert f"{archive} is not what was built" in " ".join(run.output.split())
    assert web.get("/health").json["release"] == product.release == archive.parent.name


def test_a_proxy_that_is_down_fails_the_deploy_and_the_old_release_serves_when_it_is_back(
    playbook: Playbook, proxy: Machine, product: Product, sql: Endpoints, web: Web, newer: Newer
) -> None:
    change = Change("fa1300000001", 'op.execute("CREATE TABLE early (id integer)")', 'op.drop_table("early")')
    release, before = newer("no-proxy", change), standing(product, sql, web)
    with stopped(proxy, "haproxy", web):
        # What a release that is to be watched asks first would end it before the migration.
        run = playbook.run(DEPLOY, deploy_watch_seconds=0, **release)
    run.says(
        "every proxy: HAProxy cannot be asked", "Does it run? See: systemctl status haproxy", "still serves"
    )
    assert standing(product, sql, web) == before


def test_a_database_that_is_down_fails_the_deploy_and_the_old_release_serves_when_it_is_back(
    playbook: Playbook, database: Machine, product: Product, sql: Endpoints, web: Web, newer: Newer
) -> None:
    change = Change("fa1300000002", 'op.execute("CREATE TABLE early (id integer)")', 'op.drop_table("early")')
    release, before = newer("no-database", change), standing(product, sql, web)
    with stopped(database, "postgresql@15-main", web):
        run = playbook.run(DEPLOY, **release)
    run.says("cannot be reached", f"Release {before['serves']} still serves", "Correct the cause")
    assert standing(product, sql, web) == before
