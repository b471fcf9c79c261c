"""What can be reached from outside: from the machine that the hosts run on, and from host to host."""

from __future__ import annotations

import socket

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.product import Product

CLOSED = {"database": (5432, 6432), "api": (8001, 8002), "haproxy": (8404,)}
# The firewall drops: no answer comes at all. Where it lets through, one comes within milliseconds.
SECONDS = 2


def answers(address: str, port: int) -> bool:
    """Whether a TCP connection from here is taken."""
    try:
        with socket.create_connection((address, port), timeout=SECONDS):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("port", [80, 443])
def test_the_front_door_is_open(proxy: Machine, port: int) -> None:
    assert answers(proxy.address, port)


def test_ssh_stays_open(each_machine: Machine) -> None:
    assert answers(each_machine.address, 22)


@pytest.mark.parametrize(
    ("group", "port"), [(group, port) for group, ports in CLOSED.items() for port in ports]
)
def test_what_was_not_opened_is_closed(landscape: Landscape, group: str, port: int) -> None:
    assert not answers(landscape.first(group).address, port)


def test_what_is_closed_would_answer_without_the_firewall(database: Machine, product: Product) -> None:
    listening = database.sh("ss --tcp --listening --numeric --no-header | awk '{print $4}'")
    assert {"0.0.0.0:5432", "0.0.0.0:6432"} <= set(listening.split())
    port = {"blue": 8001, "green": 8002}[product.colour]
    assert f"{product.machine.address}:{port}" in product.machine.sh(
        "ss --tcp --listening --numeric --no-header"
    )


def test_the_firewall_counts_what_it_refuses(database: Machine) -> None:
    count = "nft list chain inet bundle input | sed -n 's/.*counter packets \\([0-9]*\\).*Refused.*/\\1/p'"
    before = int(database.sh(count))
    assert not answers(database.address, 5432)
    assert int(database.sh(count)) > before


def test_the_firewall_is_there_at_boot(each_machine: Machine) -> None:
    each_machine.must_run("nftables")
