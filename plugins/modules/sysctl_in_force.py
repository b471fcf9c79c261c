#!/usr/bin/python
"""Ansible module: kernel settings, in a file for the next boot and in the running kernel."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_in_force
short_description: Kernel settings, in a file and in the running kernel
description:
  - Writes all the settings to one file of /etc/sysctl.d, and sets those in which the running kernel differs.
  - A kernel that cannot be set (in a container /proc/sys is read-only) is no failure; the settings that are
    not in force are returned, and warned about.
options:
  path:
    description: The file, for example C(/etc/sysctl.d/60-bundle.conf). It has only these settings afterwards.
    type: path
    required: true
  settings:
    description: Values by setting, for example C(vm.swappiness).
    type: dict
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: configure | Set the kernel
  sysctl_in_force:
    path: /etc/sysctl.d/60-bundle.conf
    settings: {vm.swappiness: 10}
"""

RETURN = r"""
not_in_force:
  description: Why a setting is not in force in the running kernel, by its name.
  type: dict
  returned: always
"""

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def normal(value: object) -> str:
    """Return a value as the kernel prints it: words with one space between them."""
    return " ".join(str(value).split())


def file_text(settings: dict[str, object]) -> str:
    """Return what the file says."""
    lines = [f"{name} = {normal(value)}\n" for name, value in sorted(settings.items())]
    return "# Written by role base; change base_sysctl in the inventory.\n" + "".join(lines)


def kernel_file(name: str, root: Path) -> Path:
    """Return the file of a setting under /proc/sys. Slashes in the name are its separators, if any."""
    return root / (name if "/" in name else name.replace(".", "/"))


def compare(settings: dict[str, object], root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the running values that differ, and why others cannot be read, both by setting."""
    differing, unreadable = {}, {}
    for name, value in settings.items():
        try:
            running = normal(kernel_file(name, root).read_text())
        except OSError as error:
            unreadable[name] = f"this kernel does not show it ({error.strerror})"
            continue
        if running != normal(value):
            differing[name] = running
    return differing, unreadable


def write_whole(path: Path, text: str) -> None:
    """Replace a file, so that a reader sees the old or the new one and nothing between."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "settings": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    path, settings, root = Path(module.params["path"]), module.params["settings"], Path("/proc/sys")
    before = path.read_text() if path.exists() else ""
    after = file_text(settings)
    if before != after and not module.check_mode:
        write_whole(path, after)
    differing, not_in_force = compare(settings, root)
    running_before, running_after = "", ""
    for name, running in differing.items():
        target = kernel_file(name, root)
        if not os.access(target, os.W_OK):
            not_in_force[name] = f"it is {running} and cannot be set from here"
            continue
        running_before += f"{name} = {running}\n"
        running_after += f"{name} = {normal(settings[name])}\n"
        if not module.check_mode:
            try:
                target.write_text(normal(settings[name]))
            except OSError as error:
                module.fail_json(
                    msg=f"The kernel refuses {name} = {settings[name]!r}: {error.strerror}; it is still "
                    f"{running}. Correct base_sysctl; see the kernel's Documentation/admin-guide/sysctl"
                )
    if not_in_force:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(not_in_force.items()))
        module.warn(f"Kernel settings that are in {path} and not in force on this host: {reasons}")
    module.exit_json(
        changed=before != after or running_before != running_after,
        not_in_force=not_in_force,
        diff=[
            {"before_header": str(path), "after_header": str(path), "before": before, "after": after},
            {
                "before_header": "kernel",
                "after_header": "kernel",
                "before": running_before,
                "after": running_after,
            },
        ],
    )


if __name__ == "__main__":
    main()
