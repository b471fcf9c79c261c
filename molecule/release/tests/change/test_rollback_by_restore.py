"""A restore to before a deploy brings back the release of then, with its schema. One story, told in order."""

from __future__ import annotations

import pytest

from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.product import Product
from shared.releases import Releases, migration
from shared.restores import Restores
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.wait import until
from shared.web import Web

REVISION = "r3st0r3d0001"


class Story:
    """What is known from one step to the next."""

    older = ""
    newer = ""
    run: Run
    requests: Requests


@pytest.fixture(scope="module")
def story() -> Story:
    """The story."""
    return Story()


@pytest.fixture(scope="module")
def restored(
    playbook: Playbook,
    product: Product,
    releases: Releases,
    head: str,
    sql: Endpoints,
    web: Web,
    story: Story,
) -> Run:
    """The database is as it was before a release with a migration was deployed."""
    database = sql.superuser.machine
    until(
        lambda: database.sh("ls /var/lib/pgbackrest/backup/intowork/*F/backup.manifest"),
        seconds=120,
        what="the first full backup",
    )
    story.older = product.release
    restores = Restores(database)
    moment = restores.moment()
    up, down = 'op.add_column("jobs", sa.Column("later", sa.Text))', 'op.drop_column("jobs", "later")'
    playbook.must("playbooks/deploy.yml", **releases.tag("newer", migration(REVISION, head, up, down)))
    story.newer = product.release
    with Requests(web) as story.requests:
        story.run = playbook.must("playbooks/restore.yml", restore_target=moment, restore_confirm=True)
    return story.run


def said(run: Run) -> str:
    """All that a run said, on one line: messages are folded."""
    return " ".join(run.output.split())


def test_release_that_belongs_to_the_restored_schema_serves(
    restored: Run, product: Product, web: Web, story: Story
) -> None:
    assert story.older != story.newer
    assert f"Release {story.older}, which served with it, takes over before the switch" in said(restored)
    assert web.get("/health").json["release"] == product.release == story.older


def test_its_schema_is_there(
    restored: Run, product: Product, sql: Endpoints, head: str, story: Story
) -> None:
    assert sql.superuser("SELECT version_num FROM alembic_version") == head
    assert product.record["pair"] == {"release": story.older, "revision": head}


def test_no_request_fails_meanwhile(restored: Run, story: Story) -> None:
    assert story.requests.failures == []
    assert story.requests.answered > 0


def test_site_yml_leaves_it_as_it_is(
    restored: Run, playbook: Playbook, product: Product, releases: Releases, story: Story
) -> None:
    run = playbook.must("site.yml", **releases.named("newer"))
    assert "HELD: release" in run.output
    assert run.changed == []
    assert product.release == story.older
    assert product.record["hold"]["refused"] == [story.newer]


def test_restore_to_after_the_deploy_brings_the_newer_release_back(
    restored: Run, playbook: Playbook, product: Product, database: Machine, sql: Endpoints, story: Story
) -> None:
    """Along the timeline that was left."""
    timeline = Restores(database).timeline() - 1
    run = playbook.must(
        "playbooks/restore.yml", restore_target="latest", restore_timeline=timeline, restore_confirm=True
    )
    assert f"Release {story.newer}, which served with it, takes over after the switch" in said(run)
    assert product.release == story.newer
    assert sql.superuser("SELECT version_num FROM alembic_version") == REVISION
    assert product.record["pair"] == {"release": story.newer, "revision": REVISION}


def test_hold_goes_when_a_person_lifts_it(
    restored: Run, playbook: Playbook, product: Product, releases: Releases, story: Story
) -> None:
    playbook.must("playbooks/deploy.yml", deploy_lift_hold=True, **releases.named("newer"))
    assert not product.record.get("hold")
    assert product.release == story.newer
