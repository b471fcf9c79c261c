"""A deploy that is killed, run again. The tests are steps of one story, in this order.

Where a run is killed earlier, while it stages, before the new colour is ready and before the requests are shifted, is
in molecule/default/tests/fault/test_killed_runs.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.load import UnderLoad
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer
from shared.sql import Endpoints
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
REVISION = "fa1600000001"
SLEEPS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%'"


@pytest.fixture(scope="module")
def memory() -> dict[str, Any]:
    """What the first step leaves to the later ones."""
    return {}


def test_a_deploy_that_is_killed_in_the_middle_of_a_migration_leaves_the_old_release_serving(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    web: Web,
    newer: Newer,
    under_load: UnderLoad,
    memory: dict[str, Any],
) -> None:
    up = 'op.execute("CREATE TABLE killed (id integer)")\nop.execute("SELECT pg_sleep(5)")'
    memory["release"] = newer("killed", Change(REVISION, up, 'op.drop_table("killed")'))
    memory["before"] = product.state()
    with under_load("a deploy is killed in the middle of a migration"):
        playbook.kill_at(
            "migration : upgrade | Bring the schema to head",
            DEPLOY,
            once=lambda: sql.superuser(SLEEPS) == "t",
            **memory["release"],
        )
    assert product.state() == memory["before"]
    assert web.get("/health").json["release"] == memory["before"]["release"]


def test_the_next_one_is_killed_before_it_writes_the_record(
    playbook: Playbook, product: Product, under_load: UnderLoad, memory: dict[str, Any]
) -> None:
    with under_load("a deploy is killed before it writes the record"):
        playbook.kill_at("deploy : record | Write down which pair serves now", DEPLOY, **memory["release"])
    assert product.record == memory["before"]["record"]


def test_the_next_one_is_killed_before_it_stops_the_old_colour(
    playbook: Playbook, product: Product, under_load: UnderLoad, memory: dict[str, Any]
) -> None:
    with under_load("a deploy is killed before it stops the old colour"):
        playbook.kill_at("api : stop | Stop the colour", DEPLOY, **memory["release"])
    assert product.record["previous"] == memory["before"]["record"]["pair"]


def test_the_one_that_is_left_alone_finishes_what_they_began(
    playbook: Playbook, product: Product, sql: Endpoints, under_load: UnderLoad, memory: dict[str, Any]
) -> None:
    with under_load("a deploy finishes what killed ones began"):
        playbook.must(DEPLOY, **memory["release"])
    assert product.record == {
        "pair": {"release": product.release, "revision": REVISION},
        "previous": memory["before"]["record"]["pair"],
    }
    assert product.manifest["ref"] == "killed"
    assert not product.machine.is_running(product.unit(product.idle_colour))
    assert sql.superuser("SELECT count(*) FROM killed") == "0"
    assert product.machine.sh("ls /srv/intowork/deploy.lock 2>/dev/null", ok=(2,)) == ""
