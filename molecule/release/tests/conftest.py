"""Fixtures of the tests of releases: a repository of releases, and what served when the tests began."""

from __future__ import annotations

import pytest

from shared.releases import Releases
from shared.sql import Endpoints


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Releases of the application, changed."""
    return Releases(tmp_path_factory.mktemp("releases") / "repository")


@pytest.fixture(scope="session")
def head(sql: Endpoints) -> str:
    """The revision of the release that the scenario converged to."""
    return sql.superuser("SELECT version_num FROM alembic_version")
