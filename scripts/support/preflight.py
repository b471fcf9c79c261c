"""Whether this machine can boot throwaway hosts: all that is wrong, before anything is touched."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from scripts.support import kernel_probe
from scripts.support.paths import ROOT, STATE, shown

# A finished host with the sample data has 2.2 GB; the rest is the image, the Python environment, downloads.
LEAST_DISK_GB = 6.0
LEAST_DISK_WITH_IMAGE_GB = 3.0
LEAST_MEMORY_GB = 2.0
ROUTES = Path("/proc/net/route")
MACHINES = ("x86_64", "aarch64")
RELEASE_FILE = ROOT / "inventories" / "local" / "group_vars" / "all" / "release.yml"
# What the kernel must do, and what is missing in words where it does not.
ABILITIES = {
    "overlay": "overlay mounts do not work below {directory}",
    "bridge": "a network bridge cannot be made",
    "nftables": "nftables does not work",
}


@dataclass(frozen=True)
class Problem:
    """One reason why it cannot work here, and what to do about it."""

    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}\n      {self.do}"


def problems(network: str) -> list[Problem]:
    """All problems of this machine, in the order in which a person would solve them.

    `network` is what the hosts' addresses are taken from, such as 10.87.0.0/24.
    """
    if platform.system() != "Linux":
        return [
            Problem(
                f"this is {platform.system()}; hosts are systemd-nspawn containers, which only Linux has",
                "Use a Debian 12 machine: a virtual machine with 2 CPUs, 4 GB and 10 GB of disk is enough.",
            )
        ]
    checks: list[Callable[[], Iterator[Problem]]] = [
        check_machine,
        check_debian,
        check_python,
        check_root,
        check_privileges,
        check_kernel,
        check_disk,
        check_memory,
        lambda: check_network(network),
        check_checkout,
    ]
    return [problem for check in checks for problem in check()]


def check_machine() -> Iterator[Problem]:
    """A machine type for which releases can be made, and are: a host here is of the type of this machine."""
    here = platform.machine()
    if here not in MACHINES:
        yield Problem(
            f"this machine is of type {here}; releases are made for {' and '.join(MACHINES)}",
            "Use a virtual machine of one of these types.",
        )
        return
    text = RELEASE_FILE.read_text() if RELEASE_FILE.is_file() else ""
    named = re.search(r"^release_architecture:[ \t]*(\S+)", text, re.MULTILINE)
    wanted = named[1].strip("\"'") if named else MACHINES[0]
    if here != wanted:
        yield Problem(
            f"this machine is of type {here}, and {shown(RELEASE_FILE)} makes releases for {wanted}",
            f"Write `release_architecture: {here}` into that file.",
        )


def check_debian() -> Iterator[Problem]:
    """Debian or a descendant, with apt and the package of systemd-nspawn."""
    release = os_release(Path("/etc/os-release"))
    family = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    if "debian" not in family or shutil.which("apt-get") is None:
        yield Problem(
            f"this is {release.get('PRETTY_NAME', 'an unknown system')}; packages come from apt-get",
            "Use Debian 12, or a system that is made from it.",
        )
    elif shutil.which("systemd-nspawn") is None and not apt_knows("systemd-container"):
        yield Problem(
            "systemd-nspawn is not installed, and apt does not know its package systemd-container",
            "Run `apt-get update`; if it stays unknown, add Debian's `main` to /etc/apt/sources.list.",
        )


def os_release(path: Path) -> dict[str, str]:
    """The fields of os-release(5); empty if there is no such file."""
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("\"'") for name, separator, value in pairs if separator}


def apt_knows(package: str) -> bool:
    """Whether apt could install a package; also if its lists are empty, which the first update changes."""
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        return True
    shown = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    return shown.returncode == 0


def check_python() -> Iterator[Problem]:
    """Python 3.11 or newer for this program and the tools."""
    version = platform.python_version_tuple()
    if (int(version[0]), int(version[1])) < (3, 11):
        yield Problem(f"this is Python {'.'.join(version)}", "Use Debian 12's Python 3.11, or newer.")


def check_root() -> Iterator[Problem]:
    """Root, since mounts, bridges and containers need it."""
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        yield Problem("this is not root, and there is no sudo to become it", "Run it as root: `su -` first.")


def check_privileges() -> Iterator[Problem]:
    """A root that may really mount: inside most containers it may not."""
    if os.geteuid() != 0:
        return
    done = subprocess.run(
        ["unshare", "--mount", "--uts", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        yield Problem(
            f"root may not make namespaces here ({done.stderr.strip()}): is this a container?",
            "Use a virtual machine, or give the container all privileges.",
        )
    if not any(Path("/sys/fs/cgroup").glob("*")):
        yield Problem("no control groups at /sys/fs/cgroup", "Use a machine that runs systemd.")


def check_kernel() -> Iterator[Problem]:
    """Overlay mounts where hosts will lie, bridges and nftables: each is tried, in namespaces that end with the try."""
    if os.geteuid() != 0:
        return
    directory = str(nearest(STATE))
    command = ["unshare", "--mount", "--net", "--propagation", "private", sys.executable]
    done = subprocess.run(
        [*command, str(Path(kernel_probe.__file__)), directory], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:  # check_privileges has said why
        return
    for name, reason in json.loads(done.stdout).items():
        yield Problem(
            f"{ABILITIES[name].format(directory=directory)} with the kernel {platform.release()}: {reason}",
            "Use Debian's own kernel (apt-get install linux-image-amd64, and reboot) on a machine or virtual machine "
            "of your own; a container does not let you.",
        )


def check_disk() -> Iterator[Problem]:
    """Room for the base image, hosts, sample data and the Python environment; less once the image is there."""
    image = any(path.is_dir() for path in (STATE / "images").glob("[!.]*"))
    least = LEAST_DISK_WITH_IMAGE_GB if image else LEAST_DISK_GB
    for path in {place.stat().st_dev: place for place in (ROOT, nearest(STATE))}.values():
        free = shutil.disk_usage(path).free / 1e9
        if free < least:
            yield Problem(
                f"{free:.1f} GB are free at {path}, at least {least:.0f} GB are needed",
                "Free some space (`apt-get clean`, `journalctl --vacuum-size=100M`) or make the disk larger.",
            )


def nearest(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def check_memory() -> Iterator[Problem]:
    """Memory for PostgreSQL, the API in two colours and the tools."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024 / 1e9
    if available < LEAST_MEMORY_GB:
        yield Problem(
            f"{available:.1f} GB of memory are available, at least {LEAST_MEMORY_GB:.0f} GB are needed",
            "End something large (`ps aux --sort=-rss | head`) or give the machine more memory.",
        )


def check_network(network: str) -> Iterator[Problem]:
    """Addresses that nobody else has; the test bed's own bridges are no one else."""
    wanted = IPv4Network(network)
    lines = ROUTES.read_text().splitlines()[1:]
    for interface, *fields in map(str.split, lines):
        destination, gateway, mask = (little_endian(fields[index]) for index in (0, 1, 6))
        there = IPv4Network(f"{destination}/{mask}")
        # A wide route through a router, a VPN's for instance, loses to the hosts' narrower one.
        reached_directly = int(gateway) == 0 or there.prefixlen >= wanted.prefixlen
        if (
            there.prefixlen
            and there.overlaps(wanted)
            and reached_directly
            and not interface.startswith("gb-")
        ):
            yield Problem(
                f"the hosts' addresses are from {wanted}, and {interface} has {there} already",
                f"Take {interface} down while you try this, or use a machine in another network.",
            )


def little_endian(field: str) -> IPv4Address:
    """An address as /proc/net/route writes it."""
    return IPv4Address(int.from_bytes(bytes.fromhex(field), "little"))


def check_checkout() -> Iterator[Problem]:
    """A git checkout with a commit: what is deployed is taken from git, not from the working tree."""
    if not (ROOT / ".git").exists():
        yield Problem(
            f"{ROOT} is not a git checkout, and a release is made from a commit",
            "Clone the repository instead of unpacking an archive of it.",
        )
        return
    if (
        shutil.which("git") is None
    ):  # it is installed first of all, and a release that cannot be made says why
        return
    asked = [
        "git",
        "-c",
        "safe.directory=*",
        "-C",
        str(ROOT),
        "rev-parse",
        "--verify",
        "--quiet",
        "HEAD^{commit}",
    ]
    if subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        yield Problem(
            f"{ROOT} has no commit, and a release is made from one",
            "Commit what is there (`git add . && git commit`), or clone the repository anew.",
        )
