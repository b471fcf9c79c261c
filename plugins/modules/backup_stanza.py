#!/usr/bin/python
"""Ansible module: pgBackRest's repositories know the cluster, and a first backup is there or on its way."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_stanza
short_description: pgBackRest's repositories know the cluster, and a first backup is there or on its way
description:
  - Makes the stanza where a repository has none. One that is there is left as it is.
  - A repository that holds the backups of another cluster is refused and not touched, since a new cluster beside old
    backups is most often a database that was lost and is to be restored.
  - Where a repository has no backup at all, the unit that makes one in each is started, and not waited for.
  - One of several repositories that does not answer is a warning and no failure. A run mends no object store, WAL waits
    for it on the database host, and what else the run has to do must not wait with it.
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
import time
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# The codes of a repository's status: src/command/info/info.c of pgBackRest 2.45.
OK, MISSING_PATH, NO_BACKUP, MISSING_DATA, OTHER = 0, 1, 2, 3, 99
# How it calls it when nobody answers, or only half.
CONNECTION_ERRORS = ("HostConnectError", "FileReadError", "ProtocolError", "ServiceError", "UnknownHostError")


# It wants all locks of the stanza, which WAL that is being archived holds for a moment and a backup for hours.
LOCKED = "[050]"
LOCK_SECONDS = 60
LOOK_SECONDS = 10
POLL_SECONDS = 0.5


class StanzaError(Exception):
    """pgBackRest refused; the message says why and what to do."""


class LockedError(StanzaError):
    """Something else is at work in the stanza."""


@dataclass(frozen=True)
class Repository:
    """What pgBackRest says of a stanza in one of its repositories."""

    number: int
    code: int
    message: str
    backups: int

    @property
    def lacks_stanza(self) -> bool:
        """Whether the stanza has to be made there."""
        return self.code in (MISSING_PATH, MISSING_DATA)

    @property
    def is_away(self) -> bool:
        """Whether nobody could be asked."""
        return self.code == OTHER and any(f"[{name}]" in self.message for name in CONNECTION_ERRORS)

    @property
    def is_wrong(self) -> bool:
        """Whether it said what does not fit: another cluster, another passphrase."""
        return not self.is_away and not self.lacks_stanza and self.code not in (OK, NO_BACKUP)


def pgbackrest(user: str, stanza: str, *words: str) -> str:
    """Run pgBackRest and return what it prints; StanzaError with its errors when it fails."""
    command = ["runuser", "-u", user, "--", "pgbackrest", f"--stanza={stanza}", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "INFO:" not in line]
        kind = LockedError if any(LOCKED in line for line in said) else StanzaError
        raise kind(explained("\n".join(said).strip(), stanza, words[-1]))
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


def repositories(told: list[dict[str, Any]], stanza: str) -> list[Repository]:
    """Return what `info --output=json` says of the stanza, by repository; of none where no repository knows it."""
    own = next((entry for entry in told if entry["name"] == stanza), None)
    if own is None:
        return []
    counted = [backup["database"]["repo-key"] for backup in own.get("backup", [])]
    return [
        Repository(
            entry["key"], entry["status"]["code"], entry["status"]["message"], counted.count(entry["key"])
        )
        for entry in own["repo"]
    ]


def ask(user: str, stanza: str) -> list[Repository]:
    """Ask pgBackRest for the stanza in each repository."""
    return repositories(
        json.loads(pgbackrest(user, stanza, "--output=json", "--log-level-console=error", "info")), stanza
    )


def make_or_compare(user: str, stanza: str, *, must_make: bool) -> None:
    """Make the stanza where it is not, and compare the repositories with the cluster where it is.

    Raises StanzaError when they do not fit. What is at work in a stanza that is there has compared them itself, so the
    comparison is left out when that takes long; a stanza that has to be made is waited for.
    """
    deadline = time.monotonic() + (LOCK_SECONDS if must_make else LOOK_SECONDS)
    while True:
        try:
            pgbackrest(user, stanza, "stanza-create")
            return
        except LockedError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            elif must_make:
                raise
            else:
                return


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
    back_up = f"start {unit}, the first backup"
    if module.check_mode and not shutil.which("pgbackrest"):
        module.exit_json(changed=True, actions=[f"make the stanza {stanza}", back_up])
    actions: list[str] = []
    try:
        there = ask(user, stanza)
        away = [one for one in there if one.is_away]
        wrong = [one for one in there if one.is_wrong or (one.is_away and len(away) == len(there))]
        if wrong:
            said = "\n".join(f"repository {one.number}: {one.message}" for one in wrong)
            raise StanzaError(explained(said, stanza, "info"))
        for one in away:
            module.warn(
                f"Repository {one.number} does not answer, and this run did not look whether all is well with it: "
                f"{one.message}. WAL is kept on the database host until it does."
            )
        answering = [one for one in there if one not in away]
        if not there:
            actions.append(f"make the stanza {stanza}")
        actions += [
            f"make the stanza {stanza} in repository {one.number}" for one in answering if one.lacks_stanza
        ]
        must_make = bool(actions)
        if (not there or any(not one.backups for one in answering)) and not is_at_work(unit):
            actions.append(back_up)
        if not module.check_mode:
            # Also where it is there: it compares the repositories with the cluster, and changes nothing if they fit. It
            # wants all of them, and so has to wait while one is away.
            if must_make or not away:
                make_or_compare(user, stanza, must_make=must_make)
            if back_up in actions:
                subprocess.run(["systemctl", "start", "--no-block", unit], check=True, capture_output=True)
    except (StanzaError, OSError, ValueError, subprocess.CalledProcessError) as error:
        module.fail_json(msg=str(error), actions=actions)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
