"""Migrations on a clone of the live data: what passes, what is refused, and that nothing else is touched.

One story, told in order. It begins and ends with the release `base` serving.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Releases, migration
from shared.restores import Restores
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.wait import until
from shared.web import Web

DEPLOY, REHEARSE, ROLLBACK = (f"playbooks/{name}.yml" for name in ("deploy", "rehearse", "rollback"))
CLONE, PORT = "/var/lib/bundle-backup/clone", 5439
RUN_MIGRATIONS = "migration : rehearse_on_clone | Run the migrations up, down and up again"
REFUSAL = "migration : rehearse_on_clone | Refuse what the policy refuses"


class Story:
    """What is known from one step to the next."""

    before: dict[str, Any]
    revision: str
    stored: dict[str, str]


@pytest.fixture(scope="module")
def story() -> Story:
    """The story."""
    return Story()


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """A repository of this story's own: what it commits is in no other test's way."""
    return Releases(tmp_path_factory.mktemp("rehearsed") / "repository")


@pytest.fixture(scope="module")
def backed_up(database: Machine, playbook: Playbook) -> Restores:
    """A first full backup is there, which the first run of site.yml began."""
    until(
        lambda: database.sh("ls /var/lib/pgbackrest/backup/intowork/*F/backup.manifest", ok=(0, 2)),
        seconds=120,
        what="the first full backup",
    )
    return Restores(database)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the controller keeps the reports."""
    return tmp_path_factory.mktemp("rehearsals")


@pytest.fixture(scope="module")
def rehearsing(reports: Path) -> dict[str, Any]:
    """The variables of an inventory that rehearses."""
    return {"deploy_rehearsal": "always", "migration_rehearsal_reports": str(reports)}


@pytest.fixture(scope="module")
def story_begins(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    releases: Releases,
    backed_up: Restores,
    story: Story,
) -> Iterator[Story]:
    """What serves, and what is in the repository, before anything is rehearsed."""
    playbook.must(DEPLOY, **releases.named("base"))
    story.before, story.stored = product.state(), backed_up.stored()
    story.revision = sql.superuser("SELECT version_num FROM alembic_version")
    yield story
    if product.release != story.before["release"]:
        playbook.must(ROLLBACK)


@pytest.fixture(scope="module")
def requests(web: Web, story_begins: Story) -> Iterator[Requests]:
    """Requests that go on through the whole story."""
    with Requests(web) as going_on:
        yield going_on


@pytest.fixture(scope="module")
def clean(releases: Releases, story_begins: Story) -> dict[str, Any]:
    """A release that adds a column and a table, and takes them away again."""
    up = 'op.execute("ALTER TABLE jobs ADD COLUMN remark text")\nop.execute("CREATE TABLE remarks (id int)")'
    down = 'op.execute("DROP TABLE remarks")\nop.execute("ALTER TABLE jobs DROP COLUMN remark")'
    files = migration("rehear5ed001", story_begins.revision, up, down, "Remarks about jobs")
    return releases.tag("rehearsed", files, after="base")


def is_as_before(product: Product, sql: Endpoints, story: Story) -> None:
    """The release before serves, with its schema."""
    assert product.state() == story.before
    assert sql.superuser("SELECT version_num FROM alembic_version") == story.revision


def no_clone(database: Machine) -> None:
    """Nothing of a clone is on the host: no file, no server, no timer."""
    assert database.sh(f"ls -A {CLONE}") == ""
    assert database.sh(f"ss -Hltn sport = :{PORT}") == ""
    assert database.sh("systemctl list-units --all --plain --no-legend 'bundle-clone*'") == ""


def test_rehearsal_of_a_clean_release_passes_with_a_report_and_touches_nothing(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    database: Machine,
    requests: Requests,
    story: Story,
    clean: dict[str, Any],
    reports: Path,
    rehearsing: dict[str, Any],
) -> None:
    run = playbook.must(REHEARSE, **clean, **rehearsing)
    assert f"release {story.before['release']}, which serves, lives with the new schema" in run.output
    is_as_before(product, sql, story)
    no_clone(database)
    (report,) = (json.loads(path.read_text()) for path in reports.glob("*.json"))
    assert report["level"] != "refuse"
    [step] = report["measured"]["revisions"]
    assert step["up"]["locks"][0]["relation"] == "public.jobs"
    assert [answer["status"] for answer in report["smoke"]["answers"]] == [200, 200, 200]
    assert report["measured"]["rows"]["compared"] is True


def test_release_with_whose_schema_the_one_before_cannot_live_is_refused(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    database: Machine,
    releases: Releases,
    requests: Requests,
    story: Story,
    rehearsing: dict[str, Any],
) -> None:
    up = 'op.execute("ALTER TABLE jobs RENAME COLUMN title TO heading")'
    down = 'op.execute("ALTER TABLE jobs RENAME COLUMN heading TO title")'
    contracting = migration("c0ntracts001", story.revision, up, down, "Headings")
    run = playbook.run(DEPLOY, **releases.tag("contracts", contracting, after="base"), **rehearsing)
    assert run.status != 0
    assert "The rehearsal refuses this release" in run.said_by(REFUSAL)
    assert "does not live with the new schema: /api/jobs?limit=1 is answered with 500" in run.said_by(REFUSAL)
    assert f"Release {story.before['release']} still serves" in run.output
    is_as_before(product, sql, story)
    no_clone(database)


def test_limit_of_the_inventory_refuses_a_lock_that_is_held_for_longer(
    playbook: Playbook,
    product: Product,
    requests: Requests,
    story: Story,
    clean: dict[str, Any],
    rehearsing: dict[str, Any],
) -> None:
    run = playbook.run(DEPLOY, **clean, **rehearsing, migration_rehearsal_lock_seconds=0.0001)
    assert run.status != 0
    assert "it holds ACCESS EXCLUSIVE on public.jobs for" in run.output
    assert "0.0001 s are allowed (migration_rehearsal_lock_seconds)" in run.output
    assert product.release == story.before["release"]


def test_clone_of_a_rehearsal_that_was_killed_is_removed_by_the_next_which_deploys(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    database: Machine,
    requests: Requests,
    story: Story,
    clean: dict[str, Any],
    rehearsing: dict[str, Any],
) -> None:
    playbook.kill_at(RUN_MIGRATIONS, DEPLOY, **clean, **rehearsing)
    assert database.sh(f"ss -Hltn sport = :{PORT}") != ""
    assert sql.superuser("SELECT version_num FROM alembic_version") == story.revision
    playbook.must(DEPLOY, **clean, **rehearsing)
    no_clone(database)
    assert product.record["pair"]["revision"] == "rehear5ed001"


def test_restore_point_before_the_migrations_is_archived_and_a_restore_can_go_to_it(
    product: Product, backed_up: Restores, story: Story
) -> None:
    entry = product.last_deployment
    assert entry["restore_point"].endswith(f"-at-{story.revision}")
    assert "passed" in entry["rehearsal"]
    backed_up.restore("prepare", "--name", entry["restore_point"], ok=(0, 1), seconds=300)
    try:
        restored = backed_up.restore("show", ok=(0, 1))
        assert restored["revision"] == story.revision
    finally:
        backed_up.restore("discard")


def test_nothing_is_migrated_while_a_restore_point_does_not_get_into_the_archive(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    database: Machine,
    releases: Releases,
    requests: Requests,
    clean: dict[str, Any],
) -> None:
    up, down = 'op.execute("ALTER TABLE jobs ADD COLUMN later text")', 'op.drop_column("jobs", "later")'
    files = migration("unarch1ved01", "rehear5ed001", up, down)
    serving = product.release
    database.sh("mv /usr/bin/pgbackrest /usr/bin/pgbackrest.away")
    try:
        run = playbook.run(
            DEPLOY, **releases.tag("unarchived", files, after="rehearsed"), deploy_rehearsal="never"
        )
    finally:
        database.sh("mv /usr/bin/pgbackrest.away /usr/bin/pgbackrest")
    assert run.status != 0
    assert "Nothing was migrated: there is no restore point in the archive to go back to." in run.output
    assert (product.release, sql.superuser("SELECT version_num FROM alembic_version")) == (
        serving,
        "rehear5ed001",
    )


def test_repository_has_only_grown(backed_up: Restores, story: Story) -> None:
    assert story.stored.items() <= backed_up.stored().items()


def test_no_request_failed_while_releases_were_refused(requests: Requests) -> None:
    assert requests.answered > 0
    assert requests.failures == []
