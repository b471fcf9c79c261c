"""The process that keeps one host: mounts its overlay, runs systemd-nspawn, and again after each reboot."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from testbed import cgroup
from testbed.machine import init_of, outer_systemd, power_off
from testbed.shell import call
from testbed.state import Run

# What systemd-nspawn says when the host asked for a reboot.
REBOOT_STATUS = 133


def nspawn_command(run: Run, host: str, open_files: int) -> list[str]:
    """The systemd-nspawn command line of a host. `open_files` is the hard limit that it may have."""
    return [
        "systemd-nspawn",
        f"--directory={run.host_directory(host)}/root",
        f"--machine=gb-{run.name}.{host}",
        f"--hostname={host}",
        "--register=no",
        "--keep-unit",
        f"--network-bridge={run.bridge}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--settings=no",
        "--console=read-only",
        # Without CAP_SYS_RESOURCE systemd-nspawn fails when it wants more than this machine's limit.
        f"--rlimit=NOFILE=1024:{open_files}",
        "--boot",
    ]


def open_files_limit() -> int:
    """Hard limit of open files for a host: Debian's own 524288, or this process's limit if that is lower."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 524288 if hard == resource.RLIM_INFINITY else min(hard, 524288)


def supervise(run: Run, host: str) -> int:
    """Keep a host until it is switched off; returns the last exit status of systemd-nspawn."""
    directory = run.host_directory(host)
    lower = ":".join(run.lower[host])
    options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work"
    call("mount", "-t", "overlay", "overlay", "-o", options, directory / "root")
    if not outer_systemd():
        cgroup.enter(run, host)
    command = nspawn_command(run, host, open_files_limit())

    def pull_the_cord(_number: int, _frame: FrameType | None) -> None:
        power_off(run, host)
        sys.exit(1)

    signal.signal(signal.SIGTERM, pull_the_cord)
    while True:
        with Path(directory, "console.log").open("ab") as console:
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=False
            ).returncode
        if status != REBOOT_STATUS:
            # systemd-nspawn alone may have been killed: a host without its keeper would be lost from sight.
            if init_of(run, host) is not None:
                power_off(run, host)
            return status
