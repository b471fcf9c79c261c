"""Two colours of the service stand behind the proxy, and one of them is live."""

from __future__ import annotations

import csv
import shlex

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.product import Product
from shared.web import Web

STATISTICS = (
    'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8404/;csv", timeout=5).read().decode())'
)
REQUESTS = 12


def servers(proxy: Machine) -> dict[str, dict[str, str]]:
    """The proxy's statistics of the API's servers, by name."""
    text = proxy.sh(f"python3 -c {shlex.quote(STATISTICS)}").removeprefix("# ")
    rows = csv.DictReader(text.splitlines())
    return {row["svname"]: row for row in rows if row["pxname"] == "api" and row["svname"] != "BACKEND"}


def server(product: Product, colour: str) -> str:
    """What the proxy calls a colour of an API host."""
    return f"{product.machine.name}-{colour}"


@pytest.fixture
def products(landscape: Landscape) -> list[Product]:
    """The product on each API host."""
    name = landscape.value("bundle_name")
    return [Product(landscape.machines[host], name) for host in landscape.groups["api"]]


def test_the_live_colour_runs_and_starts_at_boot(product: Product) -> None:
    product.machine.must_run(product.unit(product.colour))


def test_the_idle_colour_is_stopped_and_stays_so_at_boot(product: Product) -> None:
    unit = product.unit(product.idle_colour)
    assert not product.machine.is_running(unit)
    assert not product.machine.starts_at_boot(unit)


def test_no_unit_has_failed(product: Product, database: Machine, proxy: Machine) -> None:
    failed = {
        machine.name: machine.sh("systemctl --failed --no-legend")
        for machine in (product.machine, database, proxy)
    }
    assert set(failed.values()) == {""}, failed


def test_the_proxy_has_the_live_servers_in_use_and_the_idle_ones_in_maintenance(
    proxy: Machine, products: list[Product]
) -> None:
    status = {name: row["status"] for name, row in servers(proxy).items()}
    live = {server(product, product.colour): "UP" for product in products}
    assert status == live | {server(product, product.idle_colour): "MAINT" for product in products}


def test_only_the_live_servers_receive_requests(proxy: Machine, products: list[Product], web: Web) -> None:
    before = servers(proxy)
    assert {web.get("/health").status for _ in range(REQUESTS)} == {200}
    after = servers(proxy)
    received = {name: int(after[name]["stot"]) - int(before[name]["stot"]) for name in after}
    assert sum(received[server(product, product.colour)] for product in products) >= REQUESTS
    assert {received[server(product, product.idle_colour)] for product in products} == {0}


def test_the_service_runs_as_a_user_who_owns_none_of_its_code(product: Product) -> None:
    users = {process.user for process in product.machine.host.process.filter(comm="uvicorn")}
    assert users == {product.name}
    owned = product.machine.sh(f"find -L /srv/{product.name}/current/ -user {product.name} -print -quit")
    assert owned == ""
