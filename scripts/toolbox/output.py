"""What a check says: findings for people, figures for Prometheus, both for programs, and an exit status."""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# In the order of their weight, which is the exit status too.
LEVELS = ("ok", "warning", "critical")
MARKS = {"ok": "✓", "warning": "!", "critical": "✗"}
SAMPLE = re.compile(r"(?P<name>[a-z_:][a-z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
EXIT_STATUS_HELP = (
    "exit status: 0 all is well, 1 a warning, 2 something is critical or could not be looked at"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` says what to do, where there is something to do."""

    level: str
    subject: str
    message: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"a finding's level is one of {', '.join(LEVELS)}, not {self.level!r}")


@dataclass(frozen=True)
class Metric:
    """A figure in Prometheus' words; `help` names the unit. Seconds and bytes, never minutes or megabytes.

    What only grows is a counter: its name ends in `_total`.
    """

    name: str
    value: float
    help: str
    labels: dict[str, str] = field(default_factory=dict)


class Bytes(int):
    """A size in a table: people read it in kB, MB or GB, programs in bytes."""


class Seconds(float):
    """A time in a table: people read it in its largest units, programs in seconds."""


@dataclass(frozen=True)
class Table:
    """Rows to show people, and programs as objects; every row has as many values as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def text(self) -> str:
        """Columns under each other, numbers to the right."""
        cells = [[_shown(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        right = [
            all(isinstance(row[place], int | float | None) for row in self.rows)
            for place in range(len(self.columns))
        ]

        def line(values: Sequence[str]) -> str:
            parts = [
                value.rjust(width) if to_right else value.ljust(width)
                for value, width, to_right in zip(values, widths, right, strict=True)
            ]
            return "  " + "  ".join(parts).rstrip()

        return "\n".join([f"{self.title}:", line(list(self.columns)), *map(line, cells)])

    def objects(self) -> list[dict[str, Any]]:
        """The rows by column, for JSON."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass
class Report:
    """All that a command has to say."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    # What only programs want: it is in the JSON beside the rest.
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, level: str, subject: str, message: str, advice: str = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(level, subject, message, advice))

    def metric(self, name: str, value: float, help_text: str, labels: dict[str, str] | None = None) -> None:
        """Note a figure."""
        self.metrics.append(Metric(name, float(value), help_text, labels or {}))

    def add_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Note rows to show."""
        self.tables.append(Table(title, columns, rows))

    @property
    def level(self) -> str:
        """The worst that was found."""
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    @property
    def exit_status(self) -> int:
        """0, 1 or 2: see EXIT_STATUS_HELP."""
        return LEVELS.index(self.level)

    def render(self, form: str) -> str:
        """As `text`, `json` or `prometheus`."""
        if form == "prometheus":
            return exposition(self.metrics)
        return self.json() if form == "json" else self.text()

    def text(self) -> str:
        """For people: the worst first, what to do under it."""
        lines = [self.title]
        for finding in sorted(self.findings, key=lambda one: -LEVELS.index(one.level)):
            lines.append(f"  {MARKS[finding.level]} {finding.subject}: {finding.message}")
            if finding.advice:
                lines.append(f"      → {finding.advice}")
        return "\n".join([*lines, *(f"\n{table.text()}" for table in self.tables if table.rows)])

    def json(self) -> str:
        """For programs."""
        whole = {
            "title": self.title,
            "level": self.level,
            "findings": [asdict(finding) for finding in self.findings],
            "metrics": [asdict(metric) for metric in self.metrics],
            "tables": {table.title: table.objects() for table in self.tables},
            **self.facts,
        }
        return json.dumps(whole, indent=2, default=str)


def exposition(metrics: Iterable[Metric]) -> str:
    """Prometheus' text format (version 0.0.4): the samples of a name stand together under its HELP and TYPE."""
    by_name: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_name.setdefault(metric.name, []).append(metric)
    lines: list[str] = []
    for name, samples in by_name.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {samples[0].help}", f"# TYPE {name} {kind}"]
        for sample in samples:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(sample.labels.items()))
            lines.append(
                f"{name}{{{labels}}} {sample.value:.17g}" if labels else f"{name} {sample.value:.17g}"
            )
    return "\n".join(lines)


def write_metrics(path: Path, metrics: Iterable[Metric]) -> None:
    """Replace a file of node_exporter's textfile collector, which may read it at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(exposition(metrics) + "\n")
        os.fchmod(new.fileno(), 0o644)
    Path(new.name).replace(path)


def read_metrics(path: Path) -> list[Metric]:
    """What `write_metrics` wrote; nothing where there is no file."""
    found: list[Metric] = []
    helps: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        if line.startswith("# HELP "):
            name, _, text = line.removeprefix("# HELP ").partition(" ")
            helps[name] = text
        elif match := SAMPLE.fullmatch(line):
            labels = {key: _unescaped(value) for key, value in LABEL.findall(match["labels"] or "")}
            found.append(Metric(match["name"], float(match["value"]), helps.get(match["name"], ""), labels))
    return found


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """The option --format, which every command that reports has."""
    parser.add_argument(
        "--format",
        choices=("text", "json", "prometheus"),
        default="text",
        help="text for people, json for programs, prometheus for node_exporter's textfile collector",
    )


def size_text(size: float) -> str:
    """1536 is `1.5 kB`, in the powers of 1,024 that PostgreSQL means by kB, MB and GB."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while abs(size) >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    unit = units[0]
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def time_text(seconds: float) -> str:
    """5400 is `1 h 30 min`: the two largest units, and milliseconds below a second."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts, rest = [], int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _shown(value: Any) -> str:
    """A value as people read it in a table."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case Bytes():
            return size_text(value)
        case Seconds():
            return time_text(value)
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
    return str(value)


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
