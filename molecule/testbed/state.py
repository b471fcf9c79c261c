"""What the test bed keeps under /var/lib/gitops-bundle, and the names that are allowed in it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from testbed.shell import TestbedError

# A bridge is called gb-RUN and the kernel allows 15 characters.
RUN_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def state_directory() -> Path:
    """The directory of all state; GITOPS_BUNDLE_STATE names another one (tests of this program use it)."""
    return Path(os.environ.get("GITOPS_BUNDLE_STATE", "/var/lib/gitops-bundle"))


def images() -> Path:
    """Base images, one directory for each hash of a recipe."""
    return state_directory() / "images"


def layers() -> Path:
    """Saved upper directories of finished hosts, by name."""
    return state_directory() / "layers"


def runs() -> Path:
    """One directory for each run."""
    return state_directory() / "runs"


@dataclass(frozen=True)
class Host:
    """A host of a run."""

    name: str
    address: str

    @property
    def network(self) -> IPv4Network:
        """The /24 that the address is in."""
        return IPv4Interface(f"{self.address}/24").network

    @property
    def gateway(self) -> str:
        """The outer machine's address on the bridge: the first of the /24."""
        return str(self.network.network_address + 1)

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read `NAME=ADDRESS`; TestbedError names what is wrong with it."""
        name, separator, address = text.partition("=")
        if not separator or not HOST_NAME.fullmatch(name):
            raise TestbedError(
                f"--host {text!r}: write NAME=ADDRESS, the name of at most 32 lower-case letters, digits and "
                "hyphens beginning with a letter, for instance --host db1=10.87.2.10"
            )
        try:
            parsed = IPv4Address(address)
        except AddressValueError as error:
            raise TestbedError(f"--host {text!r}: {address!r} is not an IPv4 address") from error
        host = cls(name, str(parsed))
        if not parsed.is_private or int(parsed) & 0xFF in (0, 1, 255):
            raise TestbedError(
                f"--host {text!r}: the address must be private, and not .0, .1 (the outer machine) or .255 "
                f"of its /24; for instance {host.network.network_address + 10}"
            )
        return host


@dataclass
class Run:
    """Hosts that were asked for together, on a bridge of their own."""

    name: str
    hosts: list[Host]
    # Directories below each host's own, uppermost first: saved layers, then the base image.
    lower: dict[str, list[str]] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Everything this run keeps."""
        return runs() / self.name

    @property
    def bridge(self) -> str:
        """Name of the network bridge, at most 15 characters."""
        return f"gb-{self.name}"

    @property
    def table(self) -> str:
        """Name of the nftables table with the rules of this run."""
        return f"gb_{self.name.replace('-', '_')}"

    def host_directory(self, host: str) -> Path:
        """The upper and work directories and the console of one host."""
        return self.directory / "hosts" / host

    def host(self, name: str) -> Host:
        """The host of that name; TestbedError lists the names there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise TestbedError(f"run {self.name} has no host {name!r}; it has: {names}")

    def save(self) -> None:
        """Write the state so that a reader never sees half of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.directory / "hosts.json", json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, name: str) -> Run:
        """Read a run's state; TestbedError says which runs there are."""
        path = runs() / check_run_name(name) / "hosts.json"
        if not path.is_file():
            there = ", ".join(run_names()) or "none"
            raise TestbedError(f"there is no run {name!r}; runs: {there}. Make it with `up {name} --host …`")
        data = json.loads(path.read_text())
        return cls(data["name"], [Host(**host) for host in data["hosts"]], data["lower"])


def check_run_name(name: str) -> str:
    """Return the name if a bridge can be called after it, else TestbedError."""
    if not RUN_NAME.fullmatch(name):
        raise TestbedError(
            f"run {name!r}: at most 12 lower-case letters, digits and hyphens, beginning with a letter "
            "(the bridge gb-RUN has 15 characters at most)"
        )
    return name


def check_hosts(hosts: list[Host]) -> None:
    """Names and addresses differ, and all are in one /24; else TestbedError."""
    if not hosts:
        raise TestbedError("no host was asked for: add --host NAME=ADDRESS")
    for what, values in (("name", [h.name for h in hosts]), ("address", [h.address for h in hosts])):
        double = sorted({value for value in values if values.count(value) > 1})
        if double:
            raise TestbedError(f"two hosts have the same {what}: {', '.join(double)}")
    networks = sorted({str(host.network) for host in hosts})
    if len(networks) > 1:
        raise TestbedError(f"the hosts of a run share one /24, but these are in {', '.join(networks)}")


def run_names() -> list[str]:
    """Names of the runs that left a directory, also of half-made ones."""
    return sorted(path.name for path in runs().glob("*") if RUN_NAME.fullmatch(path.name))


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=mode)
    temporary.write_text(text)
    temporary.replace(path)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock of that name; another process that wants it waits. A dead holder's lock is free."""
    directory = state_directory() / "lock"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
