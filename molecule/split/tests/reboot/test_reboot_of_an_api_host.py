"""One of two API hosts reboots: the other one serves meanwhile."""

from __future__ import annotations

import csv

from shared.landscape import Landscape
from shared.load import UnderLoad
from shared.machine import Machine
from shared.wait import until

SECONDS = 60
ASK = """python3 -c "
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('/run/haproxy/admin.sock')
s.sendall(b'show stat api 4 -1\\n')
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
" """


def hosts_with_requests(proxy: Machine) -> set[str]:
    """The API hosts that the proxy gives requests to, by its own checks."""
    rows = csv.DictReader(proxy.sh(ASK).removeprefix("# ").split("\n"))
    return {row["svname"].rpartition("-")[0] for row in rows if row["status"] == "UP"}


def test_no_request_fails_while_an_api_host_reboots(
    landscape: Landscape, proxy: Machine, under_load: UnderLoad
) -> None:
    hosts = landscape.groups["api"]
    machine = landscape.machines[hosts[-1]]
    boot = machine.boot_id()
    with under_load("an API host reboots"):
        landscape.testbed("reboot", machine.name)
        assert machine.boot_id() != boot
        until(
            lambda: hosts_with_requests(proxy) == set(hosts),
            seconds=SECONDS,
            what="requests to both API hosts again",
        )
