"""Back to the release before, with its schema and its settings, and it stays there. One story, told in order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.load import UnderLoad
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Releases, migration
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.wait import until
from shared.web import Web

ROLLBACK, DEPLOY = "playbooks/rollback.yml", "playbooks/deploy.yml"
REVISION = "r0llb4ck0001"
KEPT_ROWS = "/var/lib/intowork/kept-rows"


@pytest.fixture(scope="module")
def before(playbook: Playbook, product: Product, releases: Releases) -> dict[str, Any]:
    """The release that is gone back to, as it served before the newer one came."""
    playbook.must(DEPLOY, api_workers=1, **releases.named("base"))
    return product.state()


@pytest.fixture(scope="module")
def newer(releases: Releases, head: str) -> dict[str, Any]:
    """A release with one table more, which has a row from the beginning."""
    up = (
        'op.create_table("later", sa.Column("id", sa.Integer, primary_key=True), sa.Column("word", sa.Text))\n'
        "op.execute(\"INSERT INTO later VALUES (1, 'kept')\")"
    )
    return releases.tag("newer", migration(REVISION, head, up, 'op.drop_table("later")'))


@pytest.fixture(scope="module")
def requests(web: Web) -> Iterator[Requests]:
    """Requests that go on through the whole story."""
    with Requests(web) as going_on:
        yield going_on


def seconds_until_served(web: Web, release: str) -> float:
    """How long it takes until the front door answers with this release, from now on."""
    began = time.monotonic()
    until(lambda: web.get("/health").json["release"] == release, seconds=300, what=release, interval=0.1)
    return time.monotonic() - began


def workers(product: Product) -> str:
    """The setting WORKERS of the colour that serves."""
    return product.machine.sh(f"sed -n 's/^WORKERS=//p' /etc/{product.name}/{product.colour}.env")


def test_a_newer_release_serves_with_its_schema_and_its_settings(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    requests: Requests,
    under_load: UnderLoad,
    before: dict[str, Any],
    newer: dict[str, Any],
) -> None:
    with under_load("a release with a migration is deployed"):
        playbook.must(DEPLOY, api_workers=2, **newer)
    assert product.last_deployment["watched"].count(" 0 of them failed ") == 2
    assert product.record["pair"] == {"release": product.release, "revision": REVISION}
    assert product.record["previous"] == before["record"]["pair"]
    assert (workers(product), sql.superuser("SELECT word FROM later")) == ('"2"', "kept")


def test_check_mode_says_where_a_rollback_would_go_and_touches_nothing(
    playbook: Playbook, product: Product, sql: Endpoints, before: dict[str, Any]
) -> None:
    state = product.state()
    run = playbook.run(ROLLBACK, "--check")
    assert run.status == 0, run.output
    assert f"release: {before['release']} instead of {state['release']}" in run.output
    assert f"through {REVISION}" in run.output
    assert product.state() == state
    assert sql.superuser("SELECT word FROM later") == "kept"


def test_a_rollback_brings_back_the_release_its_schema_and_its_settings(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    web: Web,
    under_load: UnderLoad,
    before: dict[str, Any],
    newer: dict[str, Any],
    record_property: Callable[[str, object], None],
) -> None:
    left = product.release
    with under_load("it is rolled back, and its schema"), ThreadPoolExecutor() as beside:
        served = beside.submit(seconds_until_served, web, before["release"])
        run = playbook.must(ROLLBACK)
    record_property("seconds: from the command to the release before serving", f"{served.result():.1f}")
    assert f"Release {before['release']} serves again" in run.output
    assert web.get("/health").json["release"] == product.release == before["release"]
    assert sql.superuser("SELECT to_regclass('later') IS NULL") == "t"
    assert workers(product) == '"1"'
    assert product.record["pair"] == before["record"]["pair"]
    assert product.record["hold"]["refused"] == [left]


def test_rows_that_a_rollback_drops_are_kept(api: Machine, product: Product) -> None:
    [kept] = json.loads(api.sh(f"cat {KEPT_ROWS}/*/kept.json"))
    assert (kept["table"], kept["rows"]) == ("public.later", 1)
    assert api.sh(f"zcat {KEPT_ROWS}/*/{kept['file']}").splitlines() == ["id,word", "1,kept"]
    assert product.last_deployment["kept_rows"] == [kept]


def test_the_log_says_who_went_where_and_how_long_each_phase_took(
    product: Product, before: dict[str, Any]
) -> None:
    entry = product.last_deployment
    assert (entry["outcome"], entry["release"]) == ("rolled back", before["release"])
    assert list(entry["seconds"]) == ["hold", "activate", "schema"]


def test_site_yml_leaves_a_rollback_as_it_is(
    playbook: Playbook, product: Product, newer: dict[str, Any], before: dict[str, Any]
) -> None:
    state = product.state()
    run = playbook.must("site.yml", api_workers=2, **newer)
    assert "HELD: release" in run.output
    assert run.changed == []
    assert product.state() == state
    assert product.release == before["release"]


def test_a_rollback_of_a_rollback_brings_the_newer_release_and_its_schema(
    playbook: Playbook, product: Product, sql: Endpoints, before: dict[str, Any]
) -> None:
    playbook.must(ROLLBACK)
    assert product.release != before["release"]
    assert product.record["pair"] == {"release": product.release, "revision": REVISION}
    assert sql.superuser("SELECT count(*) FROM later") == "1"
    assert product.record["hold"]["refused"] == [before["release"]]


def test_a_rollback_goes_further_back_to_a_release_that_is_named(
    playbook: Playbook, product: Product, sql: Endpoints, releases: Releases, before: dict[str, Any]
) -> None:
    up, down = 'op.add_column("later", sa.Column("more", sa.Text))', 'op.drop_column("later", "more")'
    playbook.must(DEPLOY, **releases.tag("newest", migration("r0llb4ck0002", REVISION, up, down)))
    playbook.must(ROLLBACK, release_to=before["release"][:6])
    assert product.release == before["release"]
    assert sql.superuser("SELECT to_regclass('later') IS NULL") == "t"


def test_hold_outlives_a_deploy_of_another_release_that_fails(
    playbook: Playbook, product: Product, releases: Releases, head: str
) -> None:
    hold = product.record["hold"]
    heads = migration("r0llb4ck0003", head, "pass") | migration("r0llb4ck0004", head, "pass")
    playbook.run(DEPLOY, **releases.tag("two-heads-again", heads, after="base")).says(
        "the release has 2 heads"
    )
    assert product.record["hold"] == hold


def test_naming_another_release_ends_the_hold(
    playbook: Playbook, product: Product, releases: Releases
) -> None:
    note = {"app/note.py": '"""A release without a migration."""\n'}
    playbook.must(DEPLOY, **releases.tag("another", note, after="base"))
    assert "hold" not in product.record


def test_no_request_failed_while_releases_came_and_went(requests: Requests) -> None:
    assert requests.answered > 0
    assert requests.failures == []
