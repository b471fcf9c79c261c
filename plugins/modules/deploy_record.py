#!/usr/bin/python
"""Ansible module: what a deploy leaves behind: the host's pair of release and revision, and a line in the log."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_record
short_description: Record a deploy on this host
description:
  - The record has the pair (release, revision) that serves and the pair before it, which is what a rollback goes to.
  - The log has one line of JSON for each deploy, also for one that failed.
  - A rollback leaves a hold before it begins, the pair that is to serve and the releases that are not to come back by
    themselves. It ends when another release is deployed, or is lifted.
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
    description:
      - What happened; its keys I(release), I(revision) and I(outcome) are needed.
      - With the outcomes C(deployed) and C(rolled back) the pair moves. C(held) and C(lifted) are about the hold, and
        C(failed) is only logged, unless it has I(hold_before), the hold that was there before a rollback that failed.
      - Without it, the record is only read.
    type: dict
author: The bundle's maintainers
"""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

MOVING = ("deployed", "rolled back")
OUTCOMES = (*MOVING, "failed", "held", "lifted")


def next_record(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return the record after what happened; the pair before it is kept unless the pair is the same."""
    pair = {"release": entry["release"], "revision": entry["revision"]}
    last, hold = before.get("pair"), before.get("hold")
    after = {key: value for key, value in before.items() if key != "hold"}
    if entry["outcome"] in MOVING:
        after = {"pair": pair, "previous": before.get("previous") if last == pair else last}
    if entry["outcome"] == "held":
        hold = held(hold, pair, entry)
    if entry["outcome"] == "rolled back" and hold:
        # The schema may have stayed where it was.
        hold = {**hold, "pair": pair}
    if entry["outcome"] == "failed" and "hold_before" in entry:
        hold = entry["hold_before"]
    # Whoever deploys another release than the one held has thought about it.
    released = entry["outcome"] == "deployed" and hold and hold["pair"]["release"] != pair["release"]
    if hold and not released and entry["outcome"] != "lifted":
        after["hold"] = hold
    return after


def held(hold: dict[str, Any] | None, pair: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return the hold of a rollback to `pair`: the release that it leaves may not come back by itself."""
    refused = {*(hold or {}).get("refused", []), entry["from"]} - {pair["release"]}
    return {"pair": pair, "refused": sorted(refused), "by": entry.get("by"), "at": entry["at"]}


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
            "entry": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    record, log, entry = Path(module.params["record"]), Path(module.params["log"]), module.params["entry"]
    if entry is not None:
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry}
        if missing := {"release", "revision", "outcome"} - entry.keys():
            module.fail_json(
                msg=f"The entry has no {', '.join(sorted(missing))}; it has {', '.join(sorted(entry))}."
            )
        if entry["outcome"] not in OUTCOMES:
            module.fail_json(msg=f"The outcome is {entry['outcome']!r}; it is one of {', '.join(OUTCOMES)}.")
        if not module.check_mode:
            append(log, entry)
    try:
        before = json.loads(record.read_text()) if record.exists() else {}
    except ValueError as error:
        module.fail_json(
            msg=f"{record} is damaged ({error}). The last lines of {log} say which release and revision were deployed; "
            "move the record away and run again to have it written anew."
        )
    after = before if entry is None else next_record(before, entry)
    if after != before and not module.check_mode:
        replace(record, after)
    module.exit_json(changed=entry is not None, record=after)


if __name__ == "__main__":
    main()
