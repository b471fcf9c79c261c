"""Fixtures of the tests of another product: its releases, and what people ask it for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from shared.load import MOST_SECONDS, Load, UnderLoad
from shared.open_loop import Plan, Request
from shared.releases import Releases
from shared.web import Web

SHOP = "molecule/product/shop"


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Releases of the shop, changed."""
    return Releases(tmp_path_factory.mktemp("releases") / "repository", SHOP)


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
