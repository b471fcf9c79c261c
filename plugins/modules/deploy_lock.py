#!/usr/bin/python
"""Ansible module: one deploy at a time. The action plugin of the same name says whether a holder is still alive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: Take or release the lock of the deploys
description:
  - The lock is a file on the host that is made only where there is none, with who took it, when and for what.
  - The action plugin finds out, on the controller, whether a holder is dead; then its lock is taken over.
options:
  path:
    description: The lock file.
    type: path
    required: true
  state:
    description: Whether this run holds the lock.
    type: str
    choices: [held, released]
    default: held
  purpose:
    description: What the lock is for, for whoever finds it taken.
    type: str
    default: a deploy
  holder:
    description: Who this run is; the action plugin fills it in.
    type: dict
  take_over:
    description: The holder whose lock may be taken over; the action plugin fills it in.
    type: dict
author: The bundle's maintainers
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

IDENTITY = ("controller", "machine", "boot", "pid", "started")


def read(path: Path) -> dict[str, Any] | None:
    """Return who holds the lock, or None. A file that names no holder was cut off by a crash: nobody holds that."""
    with suppress(FileNotFoundError, ValueError):
        holder = json.loads(path.read_text())
        if isinstance(holder, dict) and holder.keys() >= {*IDENTITY, "user", "since", "purpose"}:
            return holder
    return None


def is_same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Return whether both are the same run."""
    return bool(one and other and all(one[key] == other[key] for key in IDENTITY))


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Let one process at a time look at a lock and change it.

    Else two that both saw the same dead holder would each remove a lock: the second one that of the first. The kernel
    takes this guard from a process that dies.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take(path: Path, holder: dict[str, Any]) -> bool:
    """Make the lock file whole and at once; return False when somebody else's is there."""
    new = path.with_name(f".{path.name}.{holder['pid']}")
    new.write_text(json.dumps(holder))
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "purpose": {"type": "str", "default": "a deploy"},
            "holder": {"type": "dict"},
            "take_over": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    me = module.params["holder"]
    if module.check_mode:
        module.exit_json(changed=False, held_by=read(path))
    with alone(path.parent):
        there = read(path)
        if module.params["state"] == "released":
            if is_same(there, me):
                path.unlink()
            module.exit_json(changed=False)
        if there is None or is_same(there, module.params["take_over"]) or is_same(there, me):
            path.unlink(missing_ok=True)
        if take(path, me):
            # A lock is no change of the host: it is gone when the run is.
            module.exit_json(changed=False, taken_over=there)
        module.exit_json(changed=False, held_by=there)


if __name__ == "__main__":
    main()
