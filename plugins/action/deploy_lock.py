"""Take the lock of the deploys; a lock whose holder is dead is taken over.

The lock lies on a host, its holder is a process of a controller. Only that controller can tell whether the process
lives, so that is decided here; a holder on another controller counts as alive.
"""

from __future__ import annotations

import getpass
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


def started_at(pid: int) -> str | None:
    """Return when a process of this machine started, in the kernel's clock ticks since boot, or None when none runs.

    With the number alone a later process that got the same one would pass for the holder. One that has ended and waits
    for its parent to notice (state Z, proc(5)) runs no more: in a container without an init it stays so for ever.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else fields[18]


def boot_id() -> str:
    """Return what tells this boot of this machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine() -> str:
    """Return what tells this machine from another with the same host name; empty where it has no such number."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except FileNotFoundError:
        return ""


def is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder ran on this machine and runs no more."""
    if (holder["controller"], holder["machine"]) != (platform.node(), machine()):
        return False
    return bool(holder["boot"] != boot_id()) or started_at(int(holder["pid"])) != holder["started"]


class ActionModule(ActionBase):
    """The task on the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take or release the lock; fail with who holds it, since when and for what."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        # The worker that runs this task is a child of ansible-playbook, which lives as long as the run.
        run = os.getppid()
        arguments["holder"] = {
            "controller": platform.node(),
            "machine": machine(),
            "boot": boot_id(),
            "pid": str(run),
            "started": started_at(run),
            "user": getpass.getuser(),
            # When this run began, so that it is the same when the lock is given back.
            "since": datetime.fromtimestamp(Path(f"/proc/{run}").stat().st_ctime, UTC).isoformat(
                timespec="seconds"
            ),
            "purpose": str(arguments.get("purpose", "a deploy")),
        }
        answer = self._execute_module("deploy_lock", arguments, task_vars=task_vars)
        holder = answer.get("held_by")
        if holder and is_dead(holder):
            self._display.warning(f"Taking over the lock of a run that is gone: {self._describe(holder)}.")
            answer = self._execute_module(
                "deploy_lock", {**arguments, "take_over": holder}, task_vars=task_vars
            )
            holder = answer.get("held_by")
        if holder and not self._task.check_mode:
            answer["failed"] = True
            answer["msg"] = (
                f"Another run holds {arguments['path']}: {self._describe(holder)}. Wait until it has ended. If you are "
                f"sure that it is gone, remove the file on {self._where(task_vars or {})} and run again."
            )
        result.update(answer)
        return result

    def _where(self, task_vars: dict[str, Any]) -> str:
        return str(self._task.delegate_to or task_vars.get("inventory_hostname"))

    @staticmethod
    def _describe(holder: dict[str, Any]) -> str:
        return (
            f"{holder['user']} on {holder['controller']} (process {holder['pid']}) since {holder['since']}, "
            f"{holder['purpose']}"
        )
