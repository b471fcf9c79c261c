#!/usr/bin/python
"""Ansible module: several directories are there, in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: directories
short_description: Several directories, each with its owner and mode, in one task
description:
  - Does for a list of directories what a loop over the file module does, in one call instead of one for each.
  - What is in a directory is left as it is. Missing parents are made and belong to root.
  - In check mode an owner that is not there yet, since a package brings it, is no error.
options:
  directories:
    description: The directories.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where it is., type: path, required: true}
      owner: {description: Its owner., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      mode: {description: Its mode as four octal digits in quotes., type: str, default: "0755"}
author: The bundle's maintainers
"""

import grp
import os
import pwd
import re
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class DirectoryError(Exception):
    """A directory cannot be as it is wanted; the message says which, why and what to do."""


def rights(path: Path) -> str:
    """Return owner, group and mode that a directory has now, as in `postgres:postgres 0750`; "absent" without one."""
    if not path.exists():
        return "absent"
    if not path.is_dir():
        raise DirectoryError(f"{path} is there and no directory. Move it away, or correct the path.")
    there = path.stat()
    try:
        owner, group = pwd.getpwuid(there.st_uid).pw_name, grp.getgrgid(there.st_gid).gr_name
    except KeyError:
        owner, group = str(there.st_uid), str(there.st_gid)
    return f"{owner}:{group} {stat.S_IMODE(there.st_mode):04o}"


def wanted(entry: dict[str, Any]) -> str:
    """Return owner, group and mode that a directory should have, in the form of `rights`."""
    if not re.fullmatch("[0-7]{4}", entry["mode"]):
        raise DirectoryError(
            f'mode "{entry["mode"]}" of {entry["path"]} is not four octal digits. Write it in quotes, such as "0750".'
        )
    return f"{entry['owner']}:{entry['group']} {entry['mode']}"


def make(entry: dict[str, Any]) -> None:
    """Make the directory as it is wanted, with its owner before its mode: it is open to nobody in between."""
    path = Path(entry["path"])
    try:
        owner, group = pwd.getpwnam(entry["owner"]).pw_uid, grp.getgrnam(entry["group"]).gr_gid
    except KeyError as error:
        raise DirectoryError(f"{path}: {error.args[0]}. Make the user or group first.") from None
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, owner, group)
    path.chmod(int(entry["mode"], 8))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0755"},
                },
            }
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    diff = []
    try:
        for entry in module.params["directories"]:
            before, after = rights(Path(entry["path"])), wanted(entry)
            if before == after:
                continue
            headers = {"before_header": entry["path"], "after_header": entry["path"]}
            diff.append({**headers, "before": f"{before}\n", "after": f"{after}\n"})
            if not module.check_mode:
                make(entry)
    except (DirectoryError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(diff), paths=[entry["after_header"] for entry in diff], diff=diff)


if __name__ == "__main__":
    main()
