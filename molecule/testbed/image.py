"""The base image: bare Debian 12 with SSH and Python, and nothing that a role has to install."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import state
from testbed.shell import TestbedError, last_lines, need_programs, say

SUITE = "bookworm"
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "python3-apt",
    "sudo",
    "ca-certificates",
    "cron",
    "iproute2",
    "procps",
]
# The security archive by the same host name as the rest: one name to let through where there is a filter.
SOURCES = [
    f"deb http://deb.debian.org/debian {SUITE} main",
    f"deb http://deb.debian.org/debian {SUITE}-updates main",
    f"deb http://deb.debian.org/debian-security {SUITE}-security main",
]
# Each host gets its own of these (machine.py), so that two hosts are never one machine in disguise.
CUSTOMIZE = [
    'chroot "$1" systemctl enable systemd-networkd.service',
    'rm -f "$1"/etc/ssh/ssh_host_*',
    ': > "$1"/etc/machine-id',
    'rm -f "$1"/var/lib/dbus/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf',
]


def recipe_hash() -> str:
    """Identity of the image: the first 16 hexadecimal digits of the SHA-256 of all that goes into it."""
    recipe = json.dumps([SUITE, PACKAGES, SOURCES, CUSTOMIZE, platform.machine()])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def ensure_image() -> Path:
    """Return the base image's directory, building it first if this recipe was never built here."""
    image = state.images() / recipe_hash()
    if image.is_dir():
        return image
    need_programs({"mmdebstrap": "mmdebstrap"})
    with state.lock("image"):
        if not image.is_dir():
            build(image)
    return image


def build(image: Path) -> None:
    """Build into a temporary name and rename: a killed build leaves nothing that looks like an image."""
    image.parent.mkdir(parents=True, exist_ok=True)
    for leftover in image.parent.glob(".building-*"):
        shutil.rmtree(leftover)
    temporary = image.parent / f".building-{image.name}"
    log = image.parent / f".building-{image.name}.log"
    say(f"building the base image {image.name} (Debian 12, about 40 s)")
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--customize-hook={hook}" for hook in CUSTOMIZE]
    command += [SUITE, str(temporary), *SOURCES]
    with log.open("w") as handle:
        done = subprocess.run(command, stdout=handle, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        output = log.read_text()
        shutil.rmtree(temporary, ignore_errors=True)
        raise TestbedError(
            f"mmdebstrap ended with {done.returncode}; the end of {log}:\n{last_lines(output, 20)}\n"
            "Is http://deb.debian.org reachable from here? (`apt-get update` says it.)"
        )
    log.unlink()
    temporary.chmod(0o755)
    temporary.rename(image)


def stale_images() -> list[Path]:
    """Images of earlier recipes that no run uses any more."""
    used = {lower for name in state.run_names() for lower in _lower_of(name)}
    current = recipe_hash()
    return [path for path in state.images().glob("[!.]*") if path.name != current and str(path) not in used]


def _lower_of(run: str) -> set[str]:
    try:
        return {path for chain in state.Run.load(run).lower.values() for path in chain}
    except TestbedError:
        return set()


def main_python() -> str:
    """The interpreter for processes that stay: the system's, since a virtual environment may be removed."""
    system = "/usr/bin/python3"
    return system if os.access(system, os.X_OK) else sys.executable
