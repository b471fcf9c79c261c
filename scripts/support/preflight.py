"""Whether this machine can boot throwaway hosts: all that is wrong, before anything is touched."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.support.paths import ROOT, STATE

LEAST_DISK_GB = 6.0
LEAST_MEMORY_GB = 2.0


@dataclass(frozen=True)
class Problem:
    """One reason why it cannot work here, and what to do about it."""

    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}\n      {self.do}"


def problems() -> list[Problem]:
    """All problems of this machine, in the order in which a person would solve them."""
    if platform.system() != "Linux":
        return [
            Problem(
                f"this is {platform.system()}; hosts are systemd-nspawn containers, which only Linux has",
                "Use a Debian 12 machine: a virtual machine with 2 CPUs, 4 GB and 10 GB of disk is enough.",
            )
        ]
    checks: list[Callable[[], Iterator[Problem]]] = [
        check_debian,
        check_python,
        check_root,
        check_privileges,
        check_kernel,
        check_disk,
        check_memory,
        check_checkout,
    ]
    return [problem for check in checks for problem in check()]


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
    """Overlay mounts, bridges and nftables in the kernel, or as modules that can be loaded."""
    known = Path("/proc/filesystems").read_text().split()
    modules = Path("/lib/modules", platform.release())
    if "overlay" not in known and not any(modules.glob("kernel/fs/overlayfs/*")):
        yield Problem(
            f"the kernel {platform.release()} has no overlay file system",
            "Use Debian's own kernel: apt-get install linux-image-amd64, and reboot.",
        )


def check_disk() -> Iterator[Problem]:
    """Room for the base image, hosts, sample data and the Python environment."""
    for path in {nearest(STATE), ROOT}:
        free = shutil.disk_usage(path).free / 1e9
        if free < LEAST_DISK_GB and not (STATE / "images").is_dir():
            yield Problem(
                f"{free:.1f} GB are free at {path}, at least {LEAST_DISK_GB:.0f} GB are needed",
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


def check_checkout() -> Iterator[Problem]:
    """A git checkout with a commit: what is deployed is taken from git, not from the working tree."""
    if not (ROOT / ".git").exists():
        yield Problem(
            f"{ROOT} is not a git checkout, and a release is made from a commit",
            "Clone the repository instead of unpacking an archive of it.",
        )
