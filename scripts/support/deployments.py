"""The deployment log: fetched from the first API host of an inventory, and shown."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from scripts.support.paths import ROOT, VENV

LOG = "/var/log/{{ bundle_name }}/deployments.jsonl"
COLUMNS = ("when (UTC)", "what", "release", "from", "revision", "by", "seconds", "first error")
LONGEST_ERROR = 60


class HistoryError(Exception):
    """The log cannot be read; the message says why and what to do."""


def read(inventory: str) -> list[dict[str, Any]]:
    """The entries, the oldest first, of an inventory that is named as in inventories/ or by its path.

    Raises:
        HistoryError: no such inventory, no such host, or no log there.
    """
    place = Path(inventory) if "/" in inventory else ROOT / "inventories" / inventory
    if not place.exists():
        names = ", ".join(sorted(path.name for path in (ROOT / "inventories").iterdir()))
        raise HistoryError(f"there is no inventory {inventory!r} at {place}; inventories: {names}")
    with tempfile.TemporaryDirectory() as directory:
        command = [str(VENV / "bin" / "ansible"), "-i", str(place), "api[0]", "--tree", directory]
        command += ["-m", "ansible.builtin.slurp", "-a", f"src={LOG}"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        found = [json.loads(path.read_text()) for path in Path(directory).iterdir()]
    if not found or "content" not in found[0]:
        said = found[0].get("msg", "") if found else (done.stderr or done.stdout).strip()
        raise HistoryError(
            f"the log of {inventory} cannot be read: {said}. Has anything been deployed there?"
        )
    return parse(base64.b64decode(found[0]["content"]).decode())


def parse(text: str) -> list[dict[str, Any]]:
    """The entries of a log; the half line of a deploy that was killed is passed over."""
    entries = []
    for line in text.splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def render(entries: list[dict[str, Any]], form: str, inventory: str) -> str:
    """As a table, JSON or a page."""
    if form == "json":
        return json.dumps(entries, indent=2)
    if form == "html":
        return page(entries, inventory)
    return table(entries)


def table(entries: list[dict[str, Any]]) -> str:
    """A line for each entry, the newest last, and the whole seconds of its phases together."""
    rows = [COLUMNS, *(row(entry) for entry in entries)]
    widths = [max(len(line[place]) for line in rows) for place in range(len(COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in rows)
    return "\n".join(line.rstrip() for line in lines)


def row(entry: dict[str, Any]) -> tuple[str, ...]:
    """An entry as the table shows it."""
    seconds = entry.get("seconds")
    error = " ".join((entry.get("error") or "").split())
    return (
        str(entry.get("at", ""))[:19].replace("T", " "),
        str(entry.get("outcome", "")),
        str(entry.get("release") or "–"),
        str(entry.get("from") or "–"),
        str(entry.get("revision") or "–"),
        str(entry.get("by") or "–"),
        f"{sum(seconds.values()):.0f}" if seconds else "–",
        error if len(error) <= LONGEST_ERROR else f"{error[: LONGEST_ERROR - 1]}…",
    )


def page(entries: list[dict[str, Any]], inventory: str) -> str:
    """A page to send round: it needs nothing but itself."""
    loader = jinja2.FileSystemLoader(ROOT / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    known = [{**dict.fromkeys(KEYS), **entry} for entry in entries]
    return environment.get_template("deployments.html.j2").render(entries=known, inventory=inventory)


KEYS = (
    "at",
    "outcome",
    "release",
    "from",
    "revision",
    "by",
    "ref",
    "commit",
    "seconds",
    "migrations",
    "kept_rows",
    "restore_point",
    "rehearsal",
    "watched",
    "error",
)
