#!/usr/bin/python
"""Ansible module: what a deploy leaves behind: the host's pair of release and revision, and a line in the log."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_record
short_description: Record a deploy on this host
description:
  - The record has the pair (release, revision) that serves and the pair before it, which is what a rollback goes to.
  - The log has one line of JSON for each deploy, also for one that failed.
options:
  record:
    description: The record, a file of JSON.
    type: path
    required: true
  log:
    description: The deployment log, a file with one JSON object a line.
    type: path
    required: true
  entry:
    description: What happened; its keys I(release), I(revision) and I(outcome) are needed.
    type: dict
    required: true
author: The bundle's maintainers
"""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def next_record(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return the record after a deploy that succeeded; the pair before it is kept unless the pair is the same."""
    pair = {"release": entry["release"], "revision": entry["revision"]}
    last = before.get("pair")
    return {"pair": pair, "previous": before.get("previous") if last == pair else last}


def append(log: Path, entry: dict[str, Any]) -> None:
    """Add a whole line to the log, whoever else writes to it, and after the half line of one that was killed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(entry).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def replace(record: Path, content: dict[str, Any]) -> None:
    """Write the record beside its place, then rename it there, so that nobody ever reads half of it."""
    record.parent.mkdir(parents=True, exist_ok=True)
    new = record.with_name(f".{record.name}.new")
    with new.open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(record)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "record": {"type": "path", "required": True},
            "log": {"type": "path", "required": True},
            "entry": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **module.params["entry"]}
    if missing := {"release", "revision", "outcome"} - entry.keys():
        module.fail_json(
            msg=f"The entry has no {', '.join(sorted(missing))}; it has {', '.join(sorted(entry))}."
        )
    if not module.check_mode:
        append(Path(module.params["log"]), entry)
    record = Path(module.params["record"])
    try:
        before = json.loads(record.read_text()) if record.exists() else {}
    except ValueError as error:
        module.fail_json(
            msg=f"{record} is damaged ({error}). The last lines of {module.params['log']} say which release and "
            "revision were deployed; move the record away and run again to have it written anew."
        )
    after = next_record(before, entry) if entry["outcome"] == "deployed" else before
    if after != before and not module.check_mode:
        replace(record, after)
    module.exit_json(changed=True, record=after)


if __name__ == "__main__":
    main()
