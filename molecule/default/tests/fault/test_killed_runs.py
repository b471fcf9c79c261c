"""A run that is killed, at whatever task, is finished by the next one.

The tests are steps of one story, in this order. A new release with a migration and a changed setting of the pooler are
asked for; one run after the other is ended with SIGKILL at a telling place, each further on than the one before; then
one is left alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.landscape import ROOT
from shared.playbook import Playbook
from shared.product import Product
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.web import Web

QUERY_WAIT_TIMEOUT = 31
REVISION = "k1lledruns01"
MIGRATION = f'''"""A table that a killed run was about to bring."""

import sqlalchemy as sa
from alembic import op

revision = "{REVISION}"
down_revision = "%s"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("killed_runs", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("killed_runs")
'''
SITE, DEPLOY = "site.yml", "playbooks/deploy.yml"
# Exits 0 while a release is there without its manifest, which is written last.
HALF_STAGED = "for release in /srv/*/releases/*/; do [ -e $release/manifest.json ] || exit 0; done; exit 1"
# Playbook, task, which time that it begins, and a script that says on the API host when the middle of it is reached.
PLACES = [
    pytest.param(
        SITE,
        "pgbouncer : service | Run pgBouncer with the configuration on disk",
        1,
        None,
        id="file_rendered_not_in_force",
    ),
    pytest.param(
        DEPLOY,
        "release : stage | Unpack it and make its virtual environment",
        1,
        HALF_STAGED,
        id="half_staged",
    ),
    pytest.param(
        DEPLOY,
        "api : ready | Start the colour and wait until it is ready",
        1,
        None,
        id="schema_upgraded_not_active",
    ),
    pytest.param(
        DEPLOY, "haproxy : switch | Do the phase on every proxy", 2, None, id="promoted_not_shifted"
    ),
]


def git(directory: Path, *words: str) -> str:
    """Run git and return what it prints."""
    command = [
        "git",
        "-C",
        str(directory),
        "-c",
        "user.name=Tests",
        "-c",
        "user.email=tests@example.com",
        *words,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory, product: Product) -> dict[str, Any]:
    """What the inventory asks for now: the release that serves with one more migration, and a changed setting."""
    repository = tmp_path_factory.mktemp("product") / "repository"
    served = product.manifest
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(repository)], check=True, timeout=60)
    git(repository, "checkout", "--quiet", served["commit"])
    migration = repository / "backend" / "alembic" / "versions" / f"{REVISION}_killed_runs.py"
    migration.write_text(MIGRATION % served["alembic_heads"][0])
    git(repository, "add", str(migration))
    git(repository, "commit", "--quiet", "--message", "One more table")
    return {
        "release_repository": str(repository),
        "release_ref": git(repository, "rev-parse", "HEAD"),
        "pgbouncer_query_wait_timeout": QUERY_WAIT_TIMEOUT,
    }


@pytest.fixture(scope="module")
def before(product: Product) -> dict[str, Any]:
    """What served before the first run was killed."""
    return product.state()


@pytest.fixture(scope="module")
def requests(web: Web) -> Iterator[Requests]:
    """Requests that go on through the whole story."""
    with Requests(web) as going_on:
        yield going_on


@pytest.mark.parametrize(("name", "task", "occurrence", "once"), PLACES)
def test_what_served_goes_on_when_a_run_is_killed(
    playbook: Playbook,
    wanted: dict[str, Any],
    before: dict[str, Any],
    requests: Requests,
    product: Product,
    web: Web,
    name: str,
    task: str,
    occurrence: int,
    once: str | None,
) -> None:
    reached = (lambda: product.machine.host.run(once).rc == 0) if once else None
    playbook.kill_at(task, name, occurrence=occurrence, once=reached, **wanted)
    answer = web.get("/health")
    assert (answer.status, answer.json["release"]) == (200, before["release"])
    assert requests.failures == []


def test_the_next_run_finishes_what_the_killed_ones_began(
    playbook: Playbook,
    wanted: dict[str, Any],
    before: dict[str, Any],
    product: Product,
    sql: Endpoints,
    web: Web,
) -> None:
    assert sql.superuser("SELECT version_num FROM alembic_version") == REVISION
    playbook.must(**wanted)
    pair = {"release": web.get("/health").json["release"], "revision": REVISION}
    assert product.record == {"pair": pair, "previous": before["record"]["pair"]}
    assert pair["release"] == product.release != before["release"]
    assert sql.pooled("app")("SELECT count(*) FROM killed_runs") == "0"
    rows = [line.split("|") for line in sql.console("admin")("SHOW CONFIG").splitlines()]
    assert {row[0]: row[1] for row in rows}["query_wait_timeout"] == str(QUERY_WAIT_TIMEOUT)


def test_one_colour_runs_after_the_killed_runs(product: Product) -> None:
    product.machine.must_run(product.unit(product.colour))
    assert not product.machine.is_running(product.unit(product.idle_colour))
    assert not product.machine.starts_at_boot(product.unit(product.idle_colour))


def test_no_half_staged_release_is_left(product: Product) -> None:
    assert product.machine.host.run(HALF_STAGED).rc == 1


def test_the_killed_runs_leave_no_lock(product: Product) -> None:
    assert not product.machine.host.file(f"/srv/{product.name}/deploy.lock").exists


def test_the_run_after_that_changes_nothing(playbook: Playbook, wanted: dict[str, Any]) -> None:
    run = playbook.must(**wanted)
    assert (run.changed, run.changes) == ([], 0)


def test_no_request_failed_while_runs_were_killed(requests: Requests) -> None:
    assert requests.answered > 0
    assert requests.failures == []
