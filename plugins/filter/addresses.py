"""Filters over network addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from ansible.errors import AnsibleFilterError


def address_within(address: str, networks: Iterable[str]) -> bool:
    """Return whether an address is in one of the networks, each in CIDR form or a single address.

    Raises AnsibleFilterError for what is no address or network.
    """
    try:
        wanted = ipaddress.ip_address(address)
        return any(wanted in ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError as error:
        raise AnsibleFilterError(f"{error}; write addresses as 192.0.2.7 or 192.0.2.0/24") from error


def as_network(address: str) -> str:
    """Return a single address in CIDR form, and anything else as it is.

    For places that take networks, names and keywords alike but no bare address, such as pg_hba.conf.
    """
    try:
        return str(ipaddress.ip_network(ipaddress.ip_address(address)))
    except ValueError:
        return address


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"address_within": address_within, "as_network": as_network}
