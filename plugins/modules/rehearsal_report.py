#!/usr/bin/python
"""Ansible module, for the controller: a rehearsal judged by the inventory's policy, and its report to send round."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearsal_report
short_description: Judge a rehearsal, and write its report as a page and as JSON
description:
  - Runs on the controller. Neither the page nor the JSON has a row, a secret or a word of PostgreSQL's about rows.
options:
  release:
    description: Release that was rehearsed.
    type: str
    required: true
  measured:
    description: Result of C(alembic_rehearsal).
    type: dict
    required: true
  smoke:
    description: Result of C(release_smoke); empty where the release that serves was not asked.
    type: dict
    default: {}
  clone:
    description: What C(bundle-clone start) said.
    type: dict
    required: true
  policy:
    description: For each kind of finding, C(refuse), C(warn) or C(ignore).
    type: dict
    required: true
  lock_seconds:
    description: How long an ACCESS EXCLUSIVE lock may be held, in seconds.
    type: float
    required: true
  rewrite_mb:
    description: How large a table may be that is written anew, in MB.
    type: float
    required: true
  squawk:
    description: The program that lints the SQL of the migrations.
    type: str
    required: true
  squawk_config:
    description: Its configuration, where there is one. C([upgrade]) in it may list rules that a revision may break.
    type: path
  directory:
    description: Directory of the reports. The newest 60 are kept.
    type: path
    required: true
  template:
    description: Template of the page.
    type: path
    required: true
author: The bundle's maintainers
"""

RETURN = r"""
refused:
  description: Whether the release must not be deployed.
  type: bool
  returned: always
says:
  description: One line about all of it.
  type: str
  returned: always
summary:
  description: What was measured and found, in lines for a terminal.
  type: str
  returned: always
page:
  description: Path of the page; the JSON is beside it.
  type: str
  returned: always
"""

import json
import subprocess
import tempfile
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rehearsal_policy import (
    CHOICES,
    KINDS,
    Found,
    Limits,
    judge,
    shown_failure,
    time_text,
    title,
)

KEEP = 60
MARKS = {"refuse": "✗", "warn": "!"}
WAYS = ("up", "down", "again")


class ReportError(Exception):
    """The rehearsal cannot be judged; the message says what to do."""


def lint(step: dict[str, Any], squawk: str, config: Path | None) -> list[dict[str, Any]]:
    """What squawk finds in a migration's SQL, but for what the product lists for it.

    Raises:
        ReportError: squawk is missing or does not work.
    """
    if not step["sql"]:
        return []
    options = ["--config", str(config)] if config else ["--pg-version", "15.0"]
    listed = tomllib.loads(config.read_text()).get("upgrade", {}).get(step["revision"], []) if config else []
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(step["sql"])
        file.flush()
        command = [squawk, "--reporter", "json", *options, file.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise ReportError(
                f"{squawk} cannot be run: {error.strerror}. Install the controller's requirements.lock."
            ) from error
    if done.returncode not in (0, 1):
        raise ReportError(f"squawk cannot read {title(step)}: {done.stderr.strip()}")
    return [one for one in json.loads(done.stdout) if one["rule_name"] not in listed]


def without_words(measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured, without SQL and without what PostgreSQL said: there may be rows in either."""
    known = ("before", "after", "ended", "undone", "rows", "again_differs", "resolution_seconds")
    found = {name: measured[name] for name in known}
    steps = [{name: value for name, value in step.items() if name != "sql"} for step in measured["revisions"]]
    for step in steps:
        for way in WAYS:
            run = step[way]
            if run and run["failed"]:
                step[way] = {
                    **run,
                    "failed": {name: value for name, value in run["failed"].items() if name != "said"},
                }
    return found | {"revisions": steps}


def overview(release: str, measured: dict[str, Any], clone: dict[str, Any], found: list[Found]) -> str:
    """All of it in one line."""
    refusals = sum(one.action == "refuse" for one in found)
    warnings = len(found) - refusals
    verdict = f"refused for {refusals} reason{'s' * (refusals > 1)}" if refusals else "passed"
    verdict += f", {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
    seconds = sum(step["up"]["seconds"] for step in measured["revisions"] if step["up"])
    count = len(measured["revisions"])
    return (
        f"{count} migration{'s' * (count != 1)} of release {release} on {clone['bytes'] / 1024**2:,.0f} MB from "
        f"{clone['backup']}: {seconds:.1f} s; {verdict}"
    )


def strongest(run: dict[str, Any]) -> dict[str, Any] | None:
    """The strongest lock of a migration, the longest of those."""
    return run["locks"][0] if run["locks"] else None


def terminal(
    says: str, measured: dict[str, Any], smoke: dict[str, Any], found: list[Found], page: Path
) -> str:
    """For a person at a terminal, with what the report does not have."""
    lines = [says]
    for step in measured["revisions"]:
        run = step["up"]
        if run is None:
            lines.append(f"  {title(step)}: not reached")
            continue
        parts = [f"up {time_text(run['seconds'])}"]
        parts += [f"{way} {time_text(step[way]['seconds'])}" for way in WAYS[1:] if step[way]]
        if lock := strongest(run):
            parts.append(f"{lock['mode']} on {lock['relation']} for {time_text(lock['seconds'])}")
        parts += [
            f"{one['table']} written anew ({one['bytes'] / 1024**2:,.1f} MB)" for one in run["rewritten"]
        ]
        lines.append(f"  {title(step)}: {', '.join(parts)}")
    if smoke.get("release") and not smoke["wrong"]:
        paths = ", ".join(one["path"] for one in smoke["answers"])
        lines.append(f"  release {smoke['release']}, which serves, lives with the new schema: {paths}")
    for one in found:
        lines.append(f"  {MARKS[one.action]} {one.migration}: {one.message}")
        lines += [f"      {line}" for line in one.said.splitlines()]
        lines.append(f"      → {one.advice}")
    return "\n".join([*lines, f"  report: {page}, and .json beside it"])


def keep(directory: Path, stem: str, page: str, data: dict[str, Any]) -> Path:
    """Write both, remove those that are too old, and return the path of the page."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{stem}.html"
    for file, text in ((path.with_suffix(".json"), json.dumps(data, indent=2) + "\n"), (path, page)):
        new = file.with_name(f".{file.name}.new")
        new.write_text(text)
        new.rename(file)
    for old in sorted(directory.glob("rehearsal-*.html"))[:-KEEP]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()
    return path


def report(params: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """The module's result.

    Raises:
        ReportError: the policy has an unknown word, or squawk does not work.
    """
    for name, action in params["policy"].items():
        if name not in KINDS or action not in CHOICES:
            raise ReportError(
                f"migration_rehearsal_on_{name} is {action!r}; it is one of {', '.join(CHOICES)}, and there are "
                f"{', '.join(KINDS)}."
            )
    config = Path(params["squawk_config"]) if params["squawk_config"] else None
    measured, smoke, clone = params["measured"], params["smoke"], params["clone"]
    steps = measured["revisions"]
    lints = {
        step["revision"]: lint(step, params["squawk"], config if config and config.is_file() else None)
        for step in steps
    }
    limits = Limits(params["lock_seconds"], params["rewrite_mb"])
    found = judge(measured, smoke, lints, {**KINDS, **params["policy"]}, limits)
    says = overview(params["release"], measured, clone, found)
    told = {
        "title": f"Rehearsal of release {params['release']}",
        "at": moment.isoformat(timespec="seconds"),
        "says": says,
        "level": found[0].action if found else "ok",
        "release": params["release"],
        "policy": {**KINDS, **params["policy"]},
        "limits": asdict(limits),
        "findings": [{name: value for name, value in asdict(one).items() if name != "said"} for one in found],
        "clone": {name: clone[name] for name in ("backup", "bytes", "seconds", "revision")},
        "smoke": {name: value for name, value in smoke.items() if name in ("release", "answers", "wrong")},
        "measured": without_words(measured),
        "squawk": {
            revision: [{name: one[name] for name in ("rule_name", "level", "message")} for one in ones]
            for revision, ones in lints.items()
        },
    }
    loader = jinja2.FileSystemLoader(Path(params["template"]).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template(Path(params["template"]).name)
    html = template.render(
        **told, marks=MARKS, ways=WAYS, shown_failure=shown_failure, time_text=time_text, step_title=title
    )
    path = keep(
        Path(params["directory"]), f"rehearsal-{moment:%Y%m%dT%H%M%SZ}-{params['release']}", html, told
    )
    return {
        "refused": bool(found) and found[0].action == "refuse",
        "says": says,
        "summary": terminal(says, measured, smoke, found, path),
        "page": str(path),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "required": True},
            "measured": {"type": "dict", "required": True},
            "smoke": {"type": "dict", "default": {}},
            "clone": {"type": "dict", "required": True},
            "policy": {"type": "dict", "required": True},
            "lock_seconds": {"type": "float", "required": True},
            "rewrite_mb": {"type": "float", "required": True},
            "squawk": {"type": "str", "required": True},
            "squawk_config": {"type": "path"},
            "directory": {"type": "path", "required": True},
            "template": {"type": "path", "required": True},
        },
        supports_check_mode=False,
    )
    try:
        result = report(module.params, datetime.now(UTC))
    except (ReportError, OSError) as error:
        module.fail_json(msg=f"The rehearsal cannot be judged: {error}")
    # Its files are no part of any desired state.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
