#!/usr/bin/python
"""Ansible module: pgBackRest's repository knows the cluster, and a first backup is there or on its way."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_stanza
short_description: pgBackRest's repository knows the cluster, and a first backup is there or on its way
description:
  - Makes the stanza where the repository has none. One that is there is left as it is.
  - A repository that holds the backups of another cluster is refused and not touched, since a new cluster beside old
    backups is most often a database that was lost and is to be restored.
  - Where there is no backup at all, the unit that makes one is started, and not waited for.
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  user:
    description: System user that pgBackRest runs as.
    type: str
    default: postgres
  first_backup:
    description: Unit that makes a full backup.
    type: str
    required: true
author: The bundle's maintainers
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  type: list
  elements: str
  returned: always
"""

import json
import shutil
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# https://pgbackrest.org/command.html#command-info: the codes of a stanza's status.
OK, MISSING_PATH, NO_BACKUP, MISSING_DATA, OTHER_CLUSTER = 0, 1, 2, 3, 4


class StanzaError(Exception):
    """pgBackRest refused; the message says why and what to do."""


def pgbackrest(user: str, stanza: str, *words: str) -> str:
    """Run pgBackRest and return what it prints; StanzaError with its errors when it fails."""
    command = ["runuser", "-u", user, "--", "pgbackrest", f"--stanza={stanza}", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "INFO:" not in line]
        raise StanzaError(explained("\n".join(said).strip(), stanza, words[-1]))
    return done.stdout


def explained(said: str, stanza: str, command: str) -> str:
    """Return pgBackRest's error with what to do about it."""
    if "do not match the database" in said or "[028]" in said:
        return (
            f"The repository has backups of another cluster under the stanza {stanza}, and nothing was touched. If "
            "this is a new host for a database that was lost, restore it: ansible-playbook playbooks/restore.yml. If "
            "the old backups are of no use, give this cluster a stanza of its own (bundle_backup_stanza). "
            f"It said:\n{said}"
        )
    return f"pgbackrest {command} failed for the stanza {stanza}. See docs/backups.md. It said:\n{said}"


def status(user: str, stanza: str) -> dict[str, Any]:
    """Return what the repository knows of the stanza: `code` as above, and `backups`, how many there are."""
    found = json.loads(pgbackrest(user, stanza, "--output=json", "--log-level-console=error", "info"))
    own = next((entry for entry in found if entry["name"] == stanza), None)
    if own is None:
        return {"code": MISSING_PATH, "message": "missing stanza path", "backups": 0}
    code = own["status"]["code"]
    # A repository that is encrypted with another passphrase has a code of its own in `repo`.
    return {"code": code, "message": own["status"]["message"], "backups": len(own.get("backup", []))}


def is_at_work(unit: str) -> bool:
    """Return whether the unit runs now."""
    command = ["systemctl", "show", "--property=ActiveState", "--value", unit]
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return state in {"active", "activating"}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "user": {"type": "str", "default": "postgres"},
            "first_backup": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    stanza, user, unit = (module.params[name] for name in ("stanza", "user", "first_backup"))
    make = f"make the stanza {stanza} in the repository"
    back_up = f"start {unit}, the first backup"
    if module.check_mode and not shutil.which("pgbackrest"):
        module.exit_json(changed=True, actions=[make, back_up])
    actions: list[str] = []
    try:
        there = status(user, stanza)
        if there["code"] in (MISSING_PATH, MISSING_DATA):
            actions.append(make)
        elif there["code"] not in (OK, NO_BACKUP):
            raise StanzaError(explained(there["message"], stanza, "info"))
        if not there["backups"] and not is_at_work(unit):
            actions.append(back_up)
        if not module.check_mode:
            # Also where it is there: it compares the repository with the cluster, and changes nothing if they fit.
            pgbackrest(user, stanza, "stanza-create")
            if back_up in actions:
                subprocess.run(["systemctl", "start", "--no-block", unit], check=True, capture_output=True)
    except (StanzaError, OSError, ValueError, subprocess.CalledProcessError) as error:
        module.fail_json(msg=str(error), actions=actions)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
