"""A control group for each host, where the outer machine has no systemd that would give it one.

systemd-nspawn puts a host below the group that it was started in. Two hosts started from one group would
share a tree, and each one's systemd would count the other's processes as its own: `systemctl stop postgresql`
on one would wait for the other's.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from testbed.shell import wait_until
from testbed.state import Run


def hierarchies() -> list[Path]:
    """Mount points of the hierarchies that a host's systemd works with: its own, and the unified one."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(before.split(" ")[4]))
    return found


def group_name(run: Run, host: str) -> str:
    """The name of a host's group, the same in each hierarchy."""
    return f"gb-{run.name}.{host}"


def enter(run: Run, host: str) -> None:
    """Make the host's group and put this process into it; its children are born there."""
    for hierarchy in hierarchies():
        group = hierarchy / group_name(run, host)
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text(str(os.getpid()))


def leave(run: Run, host: str) -> None:
    """Remove the host's groups. Its processes are gone, but the kernel may need a moment to notice."""
    for hierarchy in hierarchies():
        group = hierarchy / group_name(run, host)
        wait_until(partial(_removed, group), 5, 0.02)


def _removed(group: Path) -> bool:
    for folder, _children, _files in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return True
