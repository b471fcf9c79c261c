"""Fixtures of the tests of releases: a repository of releases, and what a release that is refused must not change."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.load import UnderLoad
from shared.product import Product
from shared.releases import Change, Newer, Releases, migration
from shared.sql import Endpoints
from shared.standing import Unharmed, standing
from shared.web import Web


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Releases of the application, changed."""
    return Releases(tmp_path_factory.mktemp("releases") / "repository")


@pytest.fixture(scope="session")
def head(sql: Endpoints) -> str:
    """The revision of the release that the scenario converged to."""
    return sql.superuser("SELECT version_num FROM alembic_version")


@pytest.fixture
def newer(releases: Releases, product: Product, sql: Endpoints) -> Newer:
    """Makes releases on top of the one that serves, whichever test brought it."""

    def make(name: str, *changes: Change, files: dict[str, str] | None = None) -> dict[str, Any]:
        ref = product.manifest["ref"]
        last = sql.superuser("SELECT version_num FROM alembic_version")
        written = dict(files or {})
        for change in changes:
            written |= migration(change.revision, last, change.up, change.down)
            last = change.revision
        return releases.tag(name, written, after=ref if releases.has(ref) else "base")

    return make


@pytest.fixture(scope="session")
def people(sql: Endpoints) -> Iterator[None]:
    """Rows that are there while releases come and go. All have the same name, which no unique rule can bear."""
    mine = "(SELECT id FROM users WHERE last_name = 'Same')"
    # First what tests left that were killed.
    remove = f"DELETE FROM candidates WHERE user_id IN {mine}", "DELETE FROM users WHERE last_name = 'Same'"
    sql.superuser(
        *remove,
        "INSERT INTO users (email, role, first_name, last_name)"
        " SELECT 'row' || number || '@example.com', 'candidate', 'Row', 'Same' FROM generate_series(1, 200) AS number",
        "INSERT INTO candidates (user_id) SELECT id FROM users WHERE last_name = 'Same'",
    )
    yield
    sql.superuser(*remove)


@pytest.fixture
def unharmed(product: Product, sql: Endpoints, web: Web, people: None, under_load: UnderLoad) -> Unharmed:
    """`with unharmed("what goes wrong"):` no request fails in the block, and afterwards all is as it was before it."""

    @contextmanager
    def watched(event: str) -> Generator[None]:
        before = standing(product, sql, web)
        with under_load(event):
            yield
        assert standing(product, sql, web) == before

    return watched
