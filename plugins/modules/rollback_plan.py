#!/usr/bin/python
"""Ansible module: where a rollback would go, and what is in its way. It only reads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_plan
short_description: Where a rollback would go, and what is in its way
description:
  - Reads the record and the deployment log of this host, which releases are staged here, and the database's revision.
  - The target is a pair of release and revision, the recorded one before the present one, or that with which an older
    release was last deployed.
  - All that stands in the way is returned in one list, before anything is touched.
options:
  root:
    description: Directory of the product, with releases, links and record.
    type: path
    required: true
  log:
    description: The deployment log.
    type: path
    required: true
  release_to:
    description: The release to go back to, or the beginning of its name. Empty for the one before.
    type: str
    default: ""
  schema:
    description: Whether the schema goes back too. Without, the older code stays on the newer schema.
    type: bool
    default: true
  config:
    description: The Alembic configuration, relative to a release's source.
    type: str
    default: alembic.ini
  database_url:
    description: SQLAlchemy URL of the direct endpoint; empty on hosts that do not migrate.
    type: str
    default: ""
  version_table:
    description: Alembic's version table.
    type: str
    default: alembic_version
author: The bundle's maintainers
"""

RETURN = r"""
target:
  description: The pair to go to, or none.
  type: dict
  returned: always
serving:
  description: The pair that serves.
  type: dict
  returned: always
colour:
  description: The colour that serves, or none.
  type: str
  returned: always
direction:
  description: Which way the schema has to go, C(none), C(down) by the code that serves or C(up) by the target's.
  type: str
  returned: always
revisions:
  description: The revisions that are undone or run, in order.
  type: list
  returned: always
problems:
  description: What stands in the way, each with what to do.
  type: list
  returned: always
"""

import json
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.alembic_database import Database
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import parse, scrub, secrets_in
from ansible.module_utils.revision_files import load
from ansible.module_utils.revisions import Revision, RevisionError, RevisionGraph, as_dict, shown

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

SERVED = ("deployed", "rolled back")


class Host:
    """What this host knows of releases."""

    def __init__(self, root: str, log: str) -> None:
        self.root = Path(root)
        self.log = Path(log)

    def record(self) -> dict[str, Any]:
        """Return the record, empty before the first deploy; ValueError when it is damaged."""
        path = self.root / "record.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def colour(self) -> str | None:
        """Return the colour that serves, as the link C(current) names it."""
        link = self.root / "current"
        return str(link.readlink()) if link.is_symlink() else None

    def serving(self) -> str:
        """Return the release that the colour runs which serves; empty when none does."""
        link = self.root / (self.colour() or "none")
        return link.readlink().name if link.is_symlink() else ""

    def staged(self) -> list[str]:
        """Return the names of the whole releases, the one staged last first."""
        manifests = sorted(
            self.root.glob("releases/*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        return [path.parent.name for path in manifests]

    def served(self) -> dict[str, dict[str, str]]:
        """Return the releases that have served, each with its newest pair, the newest first."""
        found: dict[str, dict[str, str]] = {}
        for line in reversed(self.log.read_text().splitlines() if self.log.exists() else []):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the half line of a deploy that was killed
            if entry.get("outcome") in SERVED:
                pair = {"release": entry["release"], "revision": entry["revision"]}
                found.setdefault(entry["release"], pair)
        return found

    def source(self, release: str) -> Path:
        """Return where a release's source is."""
        return self.root / "releases" / release / "source"


def choose(host: Host, record: dict[str, Any], release_to: str, serving: str) -> dict[str, str] | str:
    """Return the pair to go back to, or what is wrong."""
    served = host.served()
    others = [name for name in served if name != serving and name in host.staged()]
    known = f"That have served and are still here: {', '.join(others) or 'none but the one that serves'}."
    if not release_to:
        previous: dict[str, str] | None = record.get("previous")
        if previous is None:
            return (
                "there is no previous release: only one has ever served here. Correct it in the product and deploy "
                "that, or take the database back with playbooks/restore.yml."
            )
        target = previous
    else:
        found = [name for name in served if name.startswith(release_to)]
        if len(found) != 1:
            many = f"is the beginning of {len(found)} releases" if found else "has never served here"
            return f'release_to "{release_to}" {many}. {known}'
        target = served[found[0]]
    if target["release"] == serving and target == record.get("pair"):
        return f"release {serving} serves already. {known}"
    if target["release"] not in host.staged():
        return (
            f"release {target['release']} is not on this host any more (release_keep). {known} Name one with "
            "-e release_to=…, or put its ref into the inventory and deploy it."
        )
    return target


def way(
    host: Host, config: str, current: tuple[str, ...], target: dict[str, str], serving: str
) -> tuple[str, tuple[Revision, ...]]:
    """Return which way the schema goes and through what.

    Raises RevisionError when no staged release knows both ends, or when there is no way back.
    """
    if shown(current) == target["revision"]:
        return "none", ()
    goal = target["revision"]
    newer, older = (load(host.source(release), config) for release in (serving, target["release"]))
    if knows(newer, (*current, goal)) and (goal == "base" or goal in newer.closure(current)):
        path = newer.downgrade_path(current, goal)
        lost = [one for one in path if one.irreversible or (one.empty_downgrade and not one.empty_upgrade)]
        if lost:
            raise RevisionError(
                f"the schema cannot go back through {', '.join(newer.describe(one.id) for one in lost)}: its downgrade "
                "does nothing or raises. Go back with the code alone (-e deploy_rollback_schema=false) if the older "
                "release can live with the newer schema, or with the data too (playbooks/restore.yml)."
            )
        return "down", path
    if knows(older, (*current, goal)):
        return "up", older.upgrade_path(current, goal)
    raise RevisionError(
        f"the database stands at {shown(current)}, and neither release {serving} nor {target['release']} knows the way "
        f"from there to {goal}. See the deployment log for who moved it."
    )


def knows(graph: RevisionGraph, names: tuple[str, ...]) -> bool:
    """Return whether the release has all these revisions."""
    return not graph.unknown(tuple(name for name in names if name != "base"))


def revisions_of(url: str, version_table: str) -> tuple[str, ...]:
    """Return where the database stands; RevisionError when it cannot be asked."""
    if psycopg2 is None:
        raise RevisionError("psycopg2 is missing here: install the Debian package python3-psycopg2.")
    parsed = parse(url)
    try:
        database = Database(psycopg2.connect, parsed.libpq(), f"rollback_plan on {socket.gethostname()}")
    except psycopg2.OperationalError as error:
        reason = scrub(" ".join(str(error).split()), secrets_in(url, {}))
        raise RevisionError(
            f"the database {parsed.shown()} cannot be reached: {reason}. Bring it up first: no release can serve "
            "without it."
        ) from error
    try:
        found: tuple[str, ...] = database.revisions(version_table)
        return found
    finally:
        database.close()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "log": {"type": "path", "required": True},
            "release_to": {"type": "str", "default": ""},
            "schema": {"type": "bool", "default": True},
            "config": {"type": "str", "default": "alembic.ini"},
            "database_url": {"type": "str", "default": "", "no_log": True},
            "version_table": {"type": "str", "default": "alembic_version"},
        },
        supports_check_mode=True,
    )
    params = module.params
    host, url = Host(params["root"], params["log"]), params["database_url"]
    serving = host.serving()
    problems: list[str] = []
    target: dict[str, str] | None = None
    direction = "none"
    current: tuple[str, ...] = ()
    path: tuple[Revision, ...] = ()
    try:
        record = host.record()
    except ValueError as error:
        module.fail_json(
            msg=f"{host.root / 'record.json'} is damaged ({error}), so it is not known what served before. The last "
            f"lines of {host.log} say it: name it with -e release_to=… after moving the record away."
        )
    if not serving:
        problems.append("no release serves on this host, so there is none to go back from. Run site.yml.")
    else:
        chosen = choose(host, record, params["release_to"], serving)
        if isinstance(chosen, str):
            problems.append(chosen)
        else:
            target = chosen
    if target and url:
        try:
            current = revisions_of(url, params["version_table"])
            if params["schema"]:
                direction, path = way(host, params["config"], current, target, serving)
            else:
                target = {**target, "revision": shown(current)}
        except RevisionError as error:
            problems.append(str(error))
    module.exit_json(
        changed=False,
        target=target,
        serving={"release": serving, "revision": shown(current) if current else None},
        colour=host.colour(),
        record=record,
        direction=direction,
        revisions=[as_dict(one) for one in path],
        problems=problems,
    )


if __name__ == "__main__":
    main()
