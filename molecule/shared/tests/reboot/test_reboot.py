"""Everything is back after a reboot, of any host, by itself."""

from __future__ import annotations

import pytest

from shared import fingerprint
from shared.landscape import Landscape
from shared.machine import Machine
from shared.product import Product
from shared.sql import Endpoints
from shared.wait import until
from shared.web import Web

SECONDS = 60


@pytest.fixture(scope="module")
def before(product: Product) -> dict[str, object]:
    """What served before any host was rebooted."""
    return product.state()


def test_the_service_is_back_after_a_reboot_as_it_was(
    landscape: Landscape, each_machine: Machine, before: dict[str, object], product: Product, web: Web
) -> None:
    files, boot = fingerprint.files(each_machine), each_machine.boot_id()
    landscape.testbed("reboot", each_machine.name)
    assert each_machine.boot_id() != boot
    answer = until(
        lambda: (found := web.get("/health/ready")).status == 200 and found,
        seconds=SECONDS,
        what=f"the service after a reboot of {each_machine.name}",
    )
    assert answer
    assert answer.json["release"] == product.release
    assert product.state() == before
    assert fingerprint.differences({"/etc": files}, {"/etc": fingerprint.files(each_machine)}) == []


def test_the_pool_and_the_firewall_are_back_too(sql: Endpoints, landscape: Landscape) -> None:
    assert sql.pooled("app")("SELECT count(*) FROM alembic_version") == "1"
    for machine in landscape.machines.values():
        machine.must_run("nftables")
        assert machine.sh("systemctl --failed --no-legend") == ""


def test_the_idle_colour_was_not_started_by_the_reboot(product: Product) -> None:
    product.machine.must_run(product.unit(product.colour))
    assert not product.machine.is_running(product.unit(product.idle_colour))
