"""What a benchmark hands back: rows of (what, baseline, ours, ratio), for a table or a JSON file, and the limits
that were missed.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was measured, e.g. "select-only".
        baseline: median of the baseline's measurements, in `unit`.
        ours: median of our measurements, in `unit`.
        ratio: median of the rounds' own ratios ours/baseline, so that a slow minute of the machine, which
        hits both
            sides of a round, does not move it.
        lowest, highest: the smallest and the largest ratio of a round: the spread.
        unit: e.g. "tps" or "s".
    """

    what: str
    baseline: float
    ours: float
    ratio: float
    lowest: float
    highest: float
    unit: str


@dataclass
class Report:
    """A benchmark's result.

    Attributes:
        name: the benchmark's name.
        baseline_name: the heading of the baseline's column, e.g. "stock".
        rows: the comparisons.
        notes: lines to print under the table.
        misses: a line for each limit that was not kept.
        details: everything measured, for the JSON file.
    """

    name: str
    baseline_name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """Return the table and the notes as text."""
        heading = ("what", self.baseline_name, "ours", "unit", "ratio", "spread")
        lines = [heading] + [
            (
                r.what,
                _number(r.baseline),
                _number(r.ours),
                r.unit,
                f"{r.ratio:.2f}",
                f"{r.lowest:.2f}-{r.highest:.2f}",
            )
            for r in self.rows
        ]
        return "\n".join([*aligned(lines), *self.notes])

    def at_most(self, what: str, limit: float, measured: float, unit: str) -> None:
        """Add a row that compares a measurement with what it may be at most; more is a miss."""
        self.rows.append(compare(what, [limit], [measured], unit))
        if not measured <= limit:
            self.misses.append(
                f"{what}: {_number(measured)} {unit}, at most {_number(limit)} was to be shown"
            )

    def at_least(self, what: str, limit: float, measured: float, unit: str) -> None:
        """Take note of a measurement; less than `limit` is a miss."""
        self.notes.append(f"{what}: {_number(measured)} {unit} (at least {_number(limit)})")
        if not measured >= limit:
            self.misses.append(
                f"{what}: {_number(measured)} {unit}, at least {_number(limit)} was to be shown"
            )

    def conclude(self, json_file: Path | None) -> int:
        """Print the table and then what was missed, and write the file; return the exit status: 1 with misses."""
        print(self.table())
        if json_file:
            self.write_json(json_file)
        if not self.misses:
            return 0
        print(f"\n{len(self.misses)} limit{'s' * (len(self.misses) > 1)} missed:")
        print("\n".join(f"  {miss}" for miss in self.misses))
        return 1

    def write_json(self, path: Path) -> None:
        """Write all of the report to `path`."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, its heading first: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]


def compare(what: str, baseline: Sequence[float], ours: Sequence[float], unit: str) -> Row:
    """Compare measurements of the same rounds, in the same order.

    Raises:
        ValueError: if the two have different lengths or are empty.
    """
    if not baseline or len(baseline) != len(ours):
        raise ValueError(
            f"{what}: {len(baseline)} measurements of the baseline and {len(ours)} of ours; "
            "needed is one of each per round"
        )
    ratios = [own / base for base, own in zip(baseline, ours, strict=True)]
    return Row(
        what=what,
        baseline=statistics.median(baseline),
        ours=statistics.median(ours),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        unit=unit,
    )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
