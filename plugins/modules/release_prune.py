#!/usr/bin/python
"""Ansible module: old releases go from this host, except those that are in use or that a rollback would go to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_prune
short_description: Remove old releases from this host, never one that is needed
description:
  - Keeps the releases that a colour's link names and those of the record's pairs, whatever their age, and of the others
    the I(keep) that were staged last.
  - A release that is not whole is another run's to finish, and stays.
options:
  root:
    description: Directory of the product, with releases, archives, links and the record.
    type: path
    required: true
  keep:
    description: Number of releases that stay although nothing needs them.
    type: int
    default: 5
author: The bundle's maintainers
"""

import json
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

LINKS = ("blue", "green")


def needed(root: Path) -> set[str]:
    """Return the names of the releases that a colour runs, or would run, and of those in the record.

    Raises ValueError, KeyError or TypeError for a damaged record: then nobody knows what a rollback needs.
    """
    names = {(root / link).readlink().name for link in LINKS if (root / link).is_symlink()}
    record = root / "record.json"
    if record.exists():
        said = json.loads(record.read_text())
        names |= {pair["release"] for pair in (said["pair"], said["previous"]) if pair is not None}
    return names


def superfluous(root: Path, keep: int) -> list[str]:
    """Return the names of the whole releases to remove, the oldest first."""
    spared = needed(root)
    staged = {path.parent.name: path.stat().st_mtime for path in root.glob("releases/*/manifest.json")}
    others = sorted((name for name in staged if name not in spared), key=lambda name: staged[name])
    return others[: max(0, len(others) - keep)]


def remove(root: Path, name: str) -> None:
    """Remove one release, its manifest first: what is killed in the middle is not whole any more."""
    release = root / "releases" / name
    (release / "manifest.json").unlink()
    shutil.rmtree(release)
    (root / "archives" / f"{name}.tar.gz").unlink(missing_ok=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "keep": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    root, keep = Path(module.params["root"]), module.params["keep"]
    if keep < 0:
        module.fail_json(
            msg=f"keep is {keep}; it is a number of releases, 0 or more. Set release_keep to one."
        )
    try:
        names = superfluous(root, keep)
        if not module.check_mode:
            for name in names:
                remove(root, name)
    except (ValueError, KeyError, TypeError) as error:
        module.fail_json(
            msg=f"No release was removed: {root / 'record.json'} cannot be read ({error}), so it is not known which "
            "ones a rollback needs. Correct it or move it away, then run again."
        )
    module.exit_json(changed=bool(names), removed=names)


if __name__ == "__main__":
    main()
