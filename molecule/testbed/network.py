"""The network of a run: a bridge, forwarding and masquerading, so that the hosts reach Debian's mirror."""

from __future__ import annotations

import json
import shutil
from ipaddress import IPv4Interface
from pathlib import Path

from testbed import state
from testbed.shell import TestbedError, call, need_programs
from testbed.state import Run

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
PROGRAMS = {"ip": "iproute2", "nft": "nftables"}


def connect(run: Run) -> None:
    """Make the bridge and the rules of a run; what is there already is left as it is."""
    need_programs(PROGRAMS)
    host = run.hosts[0]
    refuse_foreign_network(run)
    if not bridge_exists(run.bridge):
        call("ip", "link", "add", run.bridge, "mtu", str(outer_mtu()), "type", "bridge")
    call("ip", "address", "replace", f"{host.gateway}/24", "dev", run.bridge)
    call("ip", "link", "set", run.bridge, "up")
    call("nft", "-f", "-", stdin=rules(run))
    open_foreign_firewall(run)
    allow_forwarding()


def rules(run: Run) -> str:
    """The nftables table of a run; loading it again replaces it."""
    network = run.hosts[0].network
    return f"""\
table ip {run.table}
delete table ip {run.table}
table ip {run.table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {network} oifname != "{run.bridge}" masquerade
  }}
}}
"""


def disconnect(run: Run) -> None:
    """Remove bridge, address and rules, also when only some of them are there."""
    if bridge_exists(run.bridge):
        call("ip", "link", "delete", run.bridge)
    if shutil.which("nft"):
        call("nft", "-f", "-", stdin=f"table ip {run.table}\ndelete table ip {run.table}\n")
    close_foreign_firewall(run)


def bridge_exists(bridge: str) -> bool:
    """Whether the kernel has an interface of that name."""
    return Path("/sys/class/net", bridge).exists()


def refuse_foreign_network(run: Run) -> None:
    """TestbedError if another interface already has an address in the run's network."""
    network = run.hosts[0].network
    for link in json.loads(call("ip", "-json", "-4", "address").stdout):
        for address in link.get("addr_info", []):
            interface = IPv4Interface(f"{address['local']}/{address['prefixlen']}")
            if link["ifname"] != run.bridge and interface.network.overlaps(network):
                raise TestbedError(
                    f"{network} of run {run.name} overlaps {interface} of {link['ifname']}; "
                    "give the hosts addresses in another /24, or remove what has it (`list` shows the runs)"
                )


def outer_mtu() -> int:
    """MTU in bytes of the way out, so that a host never sends a packet too large for it."""
    routes = json.loads(call("ip", "-json", "-4", "route", "show", "default").stdout)
    if not routes:
        return 1500
    return int(Path("/sys/class/net", routes[0]["dev"], "mtu").read_text())


# Docker and ufw drop forwarded packets by default: there, accepting in a table of our own is not enough.
def foreign_rules(run: Run) -> list[list[str]]:
    """The iptables rules that let the bridge through a FORWARD chain that drops."""
    marked = ["-m", "comment", "--comment", run.bridge, "-j", "ACCEPT"]
    return [["FORWARD", "-i", run.bridge, *marked], ["FORWARD", "-o", run.bridge, *marked]]


def open_foreign_firewall(run: Run) -> None:
    """Let the run's packets through an iptables FORWARD chain if its policy is DROP; else touch nothing."""
    if "-P FORWARD DROP" not in forward_chain():
        return
    for rule in foreign_rules(run):
        if call("iptables", "--wait", "-C", *rule, check=False).returncode != 0:
            call("iptables", "--wait", "-I", *rule)


def close_foreign_firewall(run: Run) -> None:
    """Remove what open_foreign_firewall added."""
    if f"--comment {run.bridge} " not in forward_chain():
        return
    for rule in foreign_rules(run):
        while call("iptables", "--wait", "-D", *rule, check=False).returncode == 0:
            pass


def forward_chain() -> str:
    """The FORWARD chain as `iptables -S` prints it; empty where there is no iptables."""
    if not any(Path(folder, "iptables").exists() for folder in ("/usr/sbin", "/sbin", "/usr/bin")):
        return ""
    return call("iptables", "--wait", "-S", "FORWARD", check=False).stdout


def allow_forwarding() -> None:
    """Turn on IPv4 forwarding, keeping the value it had for restore_forwarding."""
    with state.lock("forwarding"):
        before = FORWARDING.read_text().strip()
        if before == "1":
            return
        state.write_atomically(state.state_directory() / "ip_forward.before", before + "\n")
        FORWARDING.write_text("1")


def restore_forwarding() -> None:
    """Put back the value of ip_forward that allow_forwarding found, once no run is left."""
    with state.lock("forwarding"):
        kept = state.state_directory() / "ip_forward.before"
        if kept.is_file() and not state.run_names():
            FORWARDING.write_text(kept.read_text().strip())
            kept.unlink()
