"""The filter address_within."""

from __future__ import annotations

import pytest
from addresses import address_within, as_network
from ansible.errors import AnsibleFilterError


@pytest.mark.parametrize(
    ("address", "networks", "inside"),
    [
        ("10.87.0.1", ["10.87.0.0/24"], True),
        ("10.87.0.1", ["10.87.0.1"], True),
        ("10.87.0.1", ["192.0.2.0/24", "::/0"], False),
        ("fd00::1", ["0.0.0.0/0", "fd00::/8"], True),
        ("10.87.0.1", [], False),
    ],
)
def test_address_is_within_one_of_the_networks(address: str, networks: list[str], inside: bool) -> None:
    assert address_within(address, networks) is inside


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match=r"'10\.0\.0' .* write addresses as"):
        address_within("10.87.0.1", ["10.0.0"])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.87.0.1", "10.87.0.1/32"),
        ("fd00::1", "fd00::1/128"),
        ("10.87.0.0/24", "10.87.0.0/24"),
        ("samenet", "samenet"),
        ("db.example.org", "db.example.org"),
        ("", ""),
    ],
)
def test_single_address_becomes_a_network_and_all_else_stays(address: str, network: str) -> None:
    assert as_network(address) == network
