"""A driver that prepares statements is noticed before it gets requests, and taken once it is set up for the pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.product import Product
from shared.releases import Releases
from shared.sql import Endpoints
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
ASYNCPG = Path(__file__).resolve().parents[2] / "asyncpg"
PLACES = {
    "service.py": "src/shop/service.py",
    "env.py": "migrations/env.py",
    "production.txt": "requirements/production.txt",
    "pyproject.toml": "pyproject.toml",
}
URL: dict[str, Any] = {"bundle_url_scheme": "postgresql+asyncpg", "bundle_url_options": "ssl=require"}
ACKNOWLEDGED: dict[str, Any] = {"release_prepared_statements_acknowledged": True}
DEFAULTS = "CONNECT_ARGS: dict[str, Any] = {}"
FOR_THE_POOL = """CONNECT_ARGS: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
}"""


def words(run: Run) -> str:
    """What a run said, on one line."""
    return " ".join(run.output.replace("\\n", " ").split())


@pytest.fixture(scope="module")
def asyncpg(releases: Releases) -> dict[str, Any]:
    """The shop with asyncpg, as asyncpg is by default."""
    return releases.tag(
        "asyncpg", {place: (ASYNCPG / name).read_text() for name, place in PLACES.items()}, after="base"
    )


@pytest.fixture(scope="module")
def asyncpg_for_the_pool(releases: Releases, asyncpg: dict[str, Any]) -> dict[str, Any]:
    """The shop with asyncpg, set up as the refusal says."""
    text = (ASYNCPG / "service.py").read_text()
    assert DEFAULTS in text
    changed = text.replace(DEFAULTS, FOR_THE_POOL).replace(
        "import os\n", "import os\nfrom uuid import uuid4\n"
    )
    return releases.tag("asyncpg-for-the-pool", {"src/shop/service.py": changed}, after="asyncpg")


@pytest.fixture(scope="module")
def psycopg(releases: Releases) -> dict[str, Any]:
    """The shop with psycopg 3 as it is by default, which its URL does not tell from one that is set up."""
    releases.tag("base-again", after="base")
    text = releases.read("src/shop/database.py")
    assert '{"prepare_threshold": None}' in text
    return releases.tag(
        "psycopg", {"src/shop/database.py": text.replace('{"prepare_threshold": None}', "{}")}
    )


def test_asyncpg_as_it_is_by_default_is_refused_before_anything_is_touched(
    playbook: Playbook, product: Product, asyncpg: dict[str, Any]
) -> None:
    before = product.state()
    run = playbook.run(DEPLOY, **asyncpg, **URL)
    assert run.status != 0
    assert run.changed == []
    said = words(run)
    assert "release_prepared_statements_acknowledged" in said
    assert "statement_cache_size=0" in said
    assert "bundle_pool_mode: session" in said
    assert product.state() == before


def test_psycopg_as_it_is_by_default_is_refused_by_what_the_pool_says(
    playbook: Playbook, product: Product, web: Web, psycopg: dict[str, Any]
) -> None:
    before = product.state()
    run = playbook.run(DEPLOY, **psycopg)
    assert run.status != 0
    assert "The driver prepares statements" in words(run)
    assert "prepare_threshold=None" in words(run)
    assert (product.release, product.record["pair"]) == (before["release"], before["record"]["pair"])
    assert web.get("/status").json["release"] == before["release"]


def test_asyncpg_that_is_set_up_for_the_pool_is_deployed(
    playbook: Playbook, product: Product, web: Web, asyncpg_for_the_pool: dict[str, Any]
) -> None:
    before = product.release
    playbook.must(DEPLOY, **asyncpg_for_the_pool, **URL, **ACKNOWLEDGED)
    assert web.get("/status").json == {"release": product.release, "articles": 3}
    assert product.release != before


def test_asyncpg_as_it_is_by_default_is_deployed_where_its_database_is_pooled_by_session(
    playbook: Playbook, product: Product, web: Web, sql: Endpoints, database: Machine, asyncpg: dict[str, Any]
) -> None:
    before = product.release
    run = playbook.must("site.yml", **asyncpg, **URL, bundle_pool_mode="session")
    assert "pgbouncer : configure | Render the configuration" in run.changed
    assert "|session|" in sql.console("stats")("SHOW DATABASES")
    assert web.get("/status").json["release"] == product.release != before
