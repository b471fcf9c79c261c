"""SSH connections that this machine keeps to the hosts of a run: Ansible's outlive the playbook by two minutes."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from ipaddress import IPv4Interface

from testbed.network import bridge_exists
from testbed.shell import call, wait_until
from testbed.state import Run

OWNER = re.compile(r'\("ssh",pid=(\d+),')


def clients_of(run: Run) -> set[int]:
    """Process ids of the ssh programs with a connection into the run's network; none without its bridge."""
    if not bridge_exists(run.bridge):
        return set()
    found: set[int] = set()
    for link in json.loads(call("ip", "-json", "-4", "address", "show", "dev", run.bridge).stdout):
        for address in link.get("addr_info", []):
            network = IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
            connections = call("ss", "-H", "-t", "-n", "-p", "dst", str(network)).stdout
            found |= {int(process) for process in OWNER.findall(connections)}
    return found


def end_clients(run: Run) -> None:
    """End them. Asked to, a master removes its control socket, which would else be in the next one's way."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in clients_of(run):
            with suppress(ProcessLookupError):
                os.kill(process, number)
        if wait_until(lambda: not clients_of(run), 5, 0.05):
            return
