"""Releases of another product come and go: no request fails, and what it keeps outlives them. One story, in order."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from shared.backups import Backups
from shared.landscape import Landscape
from shared.load import UnderLoad
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Releases, migration
from shared.sql import Endpoints
from shared.web import Door, Web

DEPLOY, REHEARSE, ROLLBACK = (f"playbooks/{name}.yml" for name in ("deploy", "rehearse", "rollback"))
PICTURES = "/srv/shop/shared/pictures"
FIRST, SECOND = b"\x89PNG of a pencil", b"\x89PNG of a notebook"


@pytest.fixture(scope="module")
def before(product: Product) -> dict[str, Any]:
    """What served when the story began."""
    return product.state()


@pytest.fixture(scope="module")
def newer(releases: Releases) -> dict[str, Any]:
    """A release with one table more, from a repository that is named by URL."""
    up = 'op.create_table("reviews", sa.Column("id", sa.Integer, primary_key=True), sa.Column("words", sa.Text))'
    files = migration("0003", "0002", up, 'op.drop_table("reviews")', folder="migrations/versions")
    return releases.tag("newer", files) | {"release_repository": f"file://{releases.directory}"}


def put_picture(web: Web, landscape: Landscape, article: int, picture: bytes) -> int:
    """Send a picture, as somebody with the key; the status of the answer."""
    trust = ssl.create_default_context(cadata=web.certificate)
    door: http.client.HTTPConnection = Door(web.address, web.domain, trust, 10)
    key = landscape.value("vault_jwt_secret")
    door.request("PUT", f"/articles/{article}/picture", picture, {"X-Counter-Key": key})
    status = door.getresponse().status
    door.close()
    return status


def test_it_writes_into_the_directory_that_it_keeps(web: Web, landscape: Landscape, api: Machine) -> None:
    assert put_picture(web, landscape, 1, FIRST) == 204
    assert api.sh(f"stat --format '%U %s' {PICTURES}/1") == f"shop {len(FIRST)}"


def test_its_migration_is_rehearsed_and_the_release_that_serves_is_asked_on_the_clone(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    backed_up: Backups,
    before: dict[str, Any],
    newer: dict[str, Any],
    tmp_path: Path,
) -> None:
    playbook.must(REHEARSE, **newer, migration_rehearsal_reports=str(tmp_path))
    (report,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert [step["revision"] for step in report["measured"]["revisions"]] == ["0003"]
    answers = [(answer["path"], answer["status"]) for answer in report["smoke"]["answers"]]
    assert answers == [("/status", 200), ("/articles", 200)]
    assert product.state() == before
    assert sql.superuser("SELECT version_num FROM shop_version") == "0002"


def test_a_release_with_a_migration_is_deployed(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    under_load: UnderLoad,
    before: dict[str, Any],
    newer: dict[str, Any],
) -> None:
    with under_load("a release with a migration is deployed"):
        # It was rehearsed just now.
        playbook.must(DEPLOY, **newer, deploy_rehearsal="never")
    assert product.record["pair"] == {"release": product.release, "revision": "0003"}
    assert product.record["previous"] == before["record"]["pair"]
    assert sql.superuser("SELECT count(*) FROM reviews") == "0"


def test_what_it_had_written_is_there_in_the_next_release(web: Web, landscape: Landscape) -> None:
    assert web.get("/articles/1/picture").body == FIRST
    assert put_picture(web, landscape, 2, SECOND) == 204


def test_the_first_rows_are_not_made_again_for_the_next_release(web: Web) -> None:
    assert [each["name"] for each in web.get("/articles").json] == ["Pencil", "Notebook", "Ruler"]


def test_it_is_rolled_back_with_its_schema(
    playbook: Playbook, product: Product, sql: Endpoints, under_load: UnderLoad, before: dict[str, Any]
) -> None:
    with under_load("it is rolled back, and its schema"):
        playbook.must(ROLLBACK)
    assert product.release == before["release"]
    assert sql.superuser("SELECT to_regclass('reviews') IS NULL") == "t"


def test_what_the_newer_release_had_written_outlives_its_rollback(web: Web) -> None:
    assert [web.get(f"/articles/{article}/picture").body for article in (1, 2)] == [FIRST, SECOND]
