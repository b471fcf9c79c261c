"""Fixtures of the tests of another product: its releases, and what people ask it for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from shared.backups import Backups
from shared.load import MOST_SECONDS, Load, UnderLoad
from shared.open_loop import Plan, Request
from shared.releases import Releases
from shared.wait import until
from shared.web import Web

SHOP = "molecule/product/shop"


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Releases of the shop, changed."""
    return Releases(tmp_path_factory.mktemp("releases") / "repository", SHOP)


@pytest.fixture(scope="session")
def backed_up(backups: Backups) -> Backups:
    """The first full backup is there, which the first run of site.yml began."""
    until(
        lambda: "full backup: " in backups.pgbackrest(backups.keeper, "info"),
        seconds=180,
        what="the first full backup",
        interval=1,
    )
    return backups


@pytest.fixture
def under_load(web: Web, record_property: Callable[[str, object], None]) -> UnderLoad:
    """Customers who look and order while a block runs; no request may fail."""
    look = Request("read articles", "GET", "/articles")
    order = Request("write order", "POST", "/orders", body='{"article": 1, "number": 1}')
    plan = Plan(web.address, 443, web.domain, True, 105, MOST_SECONDS, [look, look, look, order])

    @contextmanager
    def going_on(event: str) -> Generator[Load]:
        with Load(plan) as load:
            yield load
        load.conclude(f"another product: {event}", record_property)

    return going_on
