"""Who may reach whom, when database, API, proxy and backups have hosts of their own."""

from __future__ import annotations

import pytest

from shared.landscape import Landscape
from shared.product import Product
from shared.sql import Endpoints

PORTS = {"blue": 8001, "green": 8002}
ALLOWED = [
    *(("api1", "db1", 5432), ("api1", "db1", 6432), ("api1", "proxy1", 443), ("db1", "proxy1", 443)),
    *(("db1", "bak1", 8432), ("bak1", "db1", 8432), ("bak1", "db1", 5432)),
]
REFUSED = [
    *(("proxy1", "db1", 5432), ("proxy1", "db1", 6432), ("api1", "proxy1", 8404)),
    *(("api1", "bak1", 8432), ("proxy1", "bak1", 8432), ("api1", "db1", 8432), ("bak1", "db1", 6432)),
    *(("db1", "bak1", 5432), ("bak1", "api1", 8001), ("bak1", "api1", 8002)),
]
SECONDS = 2


def answers(landscape: Landscape, source: str, target: str, port: int) -> bool:
    """Whether a TCP connection from one host to another is taken."""
    address = landscape.machines[target].address
    script = f"timeout {SECONDS} bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo taken"
    return landscape.machines[source].sh(script, ok=(0, 1, 124)) == "taken"


@pytest.mark.parametrize(("source", "target", "port"), ALLOWED)
def test_a_host_reaches_what_it_needs(landscape: Landscape, source: str, target: str, port: int) -> None:
    assert answers(landscape, source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), REFUSED)
def test_a_host_does_not_reach_what_it_does_not_need(
    landscape: Landscape, source: str, target: str, port: int
) -> None:
    assert not answers(landscape, source, target, port)


def test_only_the_proxy_reaches_the_service_itself(landscape: Landscape, product: Product) -> None:
    port = PORTS[product.colour]
    assert answers(landscape, "proxy1", "api1", port)
    assert not answers(landscape, "db1", "api1", port)


def test_the_service_uses_the_pool_from_its_own_host_over_tls(landscape: Landscape, sql: Endpoints) -> None:
    app, address = landscape.value("bundle_app_user"), landscape.machines["api1"].address
    rows = [line.split("|") for line in sql.console("stats")("SHOW CLIENTS").splitlines()]
    clients = [row for row in rows if row[1] == app and address in row]
    assert clients
    assert all(any(field.startswith("TLSv1.") for field in row) for row in clients)


def test_the_database_host_has_no_part_of_the_service(landscape: Landscape, product: Product) -> None:
    for name in ("db1", "proxy1", "bak1"):
        assert not landscape.machines[name].host.file(f"/srv/{product.name}").exists
        assert not landscape.machines[name].host.user(product.name).exists
