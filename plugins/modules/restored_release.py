#!/usr/bin/python
"""Ansible module: which release belongs to a database that was restored. It only reads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restored_release
short_description: Which release belongs to a restored database
description:
  - Compares the revision of a restored database with the releases that are staged on this host, the recorded pair and
    the deployment log.
  - What stands in the way of letting the restored database serve is returned in one list.
options:
  root:
    description: Directory of the product, with releases and record.
    type: path
    required: true
  log:
    description: The deployment log.
    type: path
    required: true
  revision:
    description: Alembic's revision of the restored database; empty where it has none.
    type: str
    required: true
  other_revision:
    description: Whether the release that serves stays, although the database has another revision.
    type: bool
    default: false
  config:
    description: The Alembic configuration, relative to a release's source.
    type: str
    default: alembic.ini
author: The bundle's maintainers
"""

RETURN = r"""
serving:
  description: The pair of release and revision that is recorded; none before the first deploy.
  type: dict
  returned: always
belongs:
  description: The release that was last deployed with this revision, and is still here; empty where there is none.
  type: str
  returned: always
knows:
  description: The staged releases that know this revision, the one staged last first.
  type: list
  elements: str
  returned: always
activate:
  description: >-
    When the release that belongs to the database has to take over from the one that serves: C(before) the database
    serves, C(after), or never, which is empty.
  type: str
  returned: always
says:
  description: All of it for people, with what to do afterwards.
  type: str
  returned: always
problems:
  description: What stands in the way, each with what to do.
  type: list
  elements: str
  returned: always
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.revision_files import load
from ansible.module_utils.revisions import RevisionError

SERVED = ("deployed", "rolled back")


def staged(root: Path) -> list[Path]:
    """Return the directories of the whole releases, the one staged last first."""
    manifests = sorted(
        root.glob("releases/*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    return [path.parent for path in manifests]


def knows(directory: Path, config: str, revisions: tuple[str, ...]) -> bool:
    """Return whether a release has all these revisions; one that cannot be read has none."""
    try:
        return not load(directory / "source", config).unknown(revisions)
    except RevisionError:
        return False


def last_with(log: Path, revision: str) -> list[str]:
    """Return the releases that have served with a revision, the newest first."""
    found = []
    for line in reversed(log.read_text().splitlines() if log.exists() else []):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the half line of a deploy that was killed
        if entry.get("outcome") in SERVED and entry.get("revision") == revision:
            found.append(str(entry["release"]))
    return found


def judge(
    revision: str, serving: dict[str, Any] | None, belongs: str, known_by: list[str], *, allowed: bool
) -> tuple[str, str, list[str]]:
    """Return what is the case, when the release that belongs has to take over, and what stands in the way."""
    if serving is None:
        return "No release serves on this host yet: site.yml deploys one after the restore.", "", []
    release, head = serving["release"], serving["revision"]
    if revision == head:
        return f"Release {release} serves, and the restored database has its revision, {head}.", "", []
    of = f"the restored database is at revision {revision or 'none'}, and release {release}, which serves, is at {head}"
    if not known_by:
        return (
            f"{of[0].upper()}{of[1:]}.",
            "",
            [
                f"{of}. No release that is staged on this host knows {revision or 'a database without revision'}: "
                "deploy one that does first (release_ref), or restore another moment."
            ],
        )
    if belongs and belongs != release and not allowed:
        # The older of two releases lives with the newer schema, as it did when the newer one was deployed.
        order = "before" if release in known_by else "after"
        return (
            f"{of[0].upper()}{of[1:]}. Release {belongs}, which served with it, takes over {order} the switch, and "
            f"stays until the inventory names another release than {release}.",
            order,
            [],
        )
    ways = []
    if release in known_by:
        ways.append(
            "forward, ansible-playbook playbooks/deploy.yml, which migrates the restored database to it"
        )
    if belongs and belongs != release:
        ways.append(
            f"back, ansible-playbook playbooks/rollback.yml -e release_to={belongs}, which served with it"
        )
    if not ways:
        ways.append(f"name a release in the inventory that knows it ({', '.join(known_by)}), and deploy it")
    then = "; or ".join(ways)
    if allowed:
        return f"{of[0].upper()}{of[1:]}. After the switch: {then}.", "", []
    return (
        f"{of[0].upper()}{of[1:]}.",
        "",
        [
            f"{of}: between the switch and the next step it would serve a schema that is not its own. If that is what "
            f"you want, add -e restore_other_revision=yes, and after the switch: {then}."
        ],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "log": {"type": "path", "required": True},
            "revision": {"type": "str", "required": True},
            "other_revision": {"type": "bool", "default": False},
            "config": {"type": "str", "default": "alembic.ini"},
        },
        supports_check_mode=True,
    )
    root, log = Path(module.params["root"]), Path(module.params["log"])
    revision = module.params["revision"]
    try:
        record = json.loads((root / "record.json").read_text()) if (root / "record.json").exists() else {}
    except ValueError as error:
        module.fail_json(
            msg=f"{root / 'record.json'} is damaged ({error}), so it is not known what serves. Nothing was switched."
        )
    releases = staged(root)
    revisions = tuple(revision.split(",")) if revision else ()
    known_by = [one.name for one in releases if knows(one, module.params["config"], revisions)]
    belongs = next((name for name in last_with(log, revision) if name in known_by), "")
    serving = record.get("pair")
    says, activate, problems = judge(
        revision, serving, belongs, known_by, allowed=module.params["other_revision"]
    )
    module.exit_json(
        changed=False,
        serving=serving,
        belongs=belongs,
        knows=known_by,
        activate=activate,
        says=says,
        problems=problems,
    )


if __name__ == "__main__":
    main()
