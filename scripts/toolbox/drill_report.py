"""The report of a drill: JSON for programs, a page for people, side by side in a directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import jinja2

from toolbox.output import LEVELS, MARKS, Report

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
# More than a year of weekly drills.
KEEP = 60


def keep(directory: Path, report: Report, moment: datetime) -> Path:
    """Write both, remove those that are too old, and return the path of the page."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    stem = directory / f"drill-{moment:%Y%m%dT%H%M%SZ}"
    write(stem.with_suffix(".json"), report.json() + "\n")
    write(stem.with_suffix(".html"), page(report))
    every = sorted(directory.glob("drill-*.json"))
    for old in every[: max(len(every) - KEEP, 0)]:
        old.unlink()
        old.with_suffix(".html").unlink(missing_ok=True)
    return stem.with_suffix(".html")


def page(report: Report) -> str:
    """A page to send round: it needs nothing but itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, TEMPLATES.parents[1] / "templates"]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    findings = sorted(report.findings, key=lambda one: -LEVELS.index(one.level))
    return environment.get_template("drill.html.j2").render(report=report, findings=findings, marks=MARKS)


def write(path: Path, text: str) -> None:
    """Write a file that is whole or not there."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(path)
