#!/usr/bin/python
"""Ansible module: an empty database gets its first rows by the product's own command, once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: api_bootstrap
short_description: Remember that a database was empty, and let the product make its first rows in it
description:
  - Whether a database was empty is known before its first migration only; the rows can be made after the last. In
    between a run may be killed, so it is written down on the host, and stays so until the command has ended with 0.
  - What is written down is the file C(first-rows-due) in I(root).
options:
  name:
    description: Name of the product; its unit is NAME-bootstrap@RELEASE.service.
    type: str
    required: true
  root:
    description: Directory of the product.
    type: path
    required: true
  state:
    description: C(due) writes down that the database is empty; C(done) runs the unit if that is written down.
    type: str
    choices: [due, done]
    required: true
  release:
    description: Name of the staged release whose command it is.
    type: str
    required: true
  environment:
    description: Content of the environment file that the command runs with.
    type: str
    default: ""
author: The bundle's maintainers
"""

import os
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DUE = "first-rows-due"
LINES = "30"


def write(path: Path, content: str) -> None:
    """Write a file that only root may read; systemd reads it before it gives up its rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


def run_unit(unit: str) -> str | None:
    """Run a unit to its end; None when that is a good one, or else the end of its journal."""
    # A run that was killed left the module alone with the unit, which is then still at work.
    if subprocess.run(["systemctl", "start", unit], check=False, capture_output=True).returncode == 0:
        return None
    journal = ["journalctl", "--unit", unit, "--lines", LINES, "--no-pager", "--output", "cat"]
    said = subprocess.run(journal, check=False, capture_output=True, text=True).stdout
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
    return said


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["due", "done"], "required": True},
            "release": {"type": "str", "required": True},
            "environment": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    name, release = module.params["name"], module.params["release"]
    due = Path(module.params["root"], DUE)
    there = due.exists()
    if module.params["state"] == "due":
        if not there and not module.check_mode:
            due.parent.mkdir(parents=True, exist_ok=True)
            due.touch()
        module.exit_json(changed=not there)
    if not there or module.check_mode:
        module.exit_json(changed=there)
    settings, unit = Path("/etc", name, "bootstrap.env"), f"{name}-bootstrap@{release}.service"
    write(settings, module.params["environment"])
    try:
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
        said = run_unit(unit)
    finally:
        settings.unlink(missing_ok=True)
    if said is not None:
        module.fail_json(
            msg="The database was empty, and the command that makes its first rows failed (bundle_bootstrap_command). "
            f"It runs again with the next deploy, until it ends with 0.\nThe end of the journal of {unit}:\n{said}"
        )
    due.unlink()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
