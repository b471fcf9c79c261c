"""zero: what requests met while something happened to the service: a release, a rollback, restarts, a new certificate,
a reboot. The Molecule scenarios measure it, each event in a test of its own, with a load of 105 requests a second that
begin when planned, reads and writes; one failed request fails the test. This collects what they wrote last.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.report import Report, aligned
from scripts.support.phases import JUNIT

SUMMARY = "what requests met in the last scenarios while something happened: failures, latencies"
# As molecule/shared/load.py writes it.
PROPERTY = "load: "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "reports",
        nargs="*",
        type=Path,
        metavar="REPORT",
        help="JUnit files of scenarios (default: those that scripts/test wrote last)",
    )


def measure(options: argparse.Namespace) -> Report:
    """Collect the events.

    Raises:
        BenchmarkError: if no report has one.
    """
    files = options.reports or sorted(JUNIT.glob("molecule-*.xml"))
    events = [event for file in files for event in events_of(file)]
    if not events:
        raise BenchmarkError(
            f"no event in {', '.join(map(str, files)) or JUNIT}; measure them first: scripts/test --scenario"
            " release, then the same with default and with split"
        )
    return Zero("zero", "", details={"events": events})


def events_of(file: Path) -> list[dict[str, Any]]:
    """The events in a JUnit file, with the time of their test run.

    Raises:
        BenchmarkError: if the file cannot be read.
    """
    try:
        suites = list(ElementTree.parse(file).getroot().iter("testsuite"))  # noqa: S314  our own tests wrote it
    except (OSError, ElementTree.ParseError) as error:
        raise BenchmarkError(f"{file} is no report of tests: {error}") from None
    return [
        {
            "event": found.get("name", "").removeprefix(PROPERTY),
            "measured": datetime.fromisoformat(suite.get("timestamp", "")).strftime("%Y-%m-%d %H:%M"),
            **json.loads(found.get("value", "")),
        }
        for suite in suites
        for found in suite.iter("property")
        if found.get("name", "").startswith(PROPERTY)
    ]


class Zero(Report):
    """The events as a table of their own; a failed request is a miss."""

    def table(self) -> str:
        """Return the table as text."""
        rows = [("event", "requests", "a second", "failed", "worst ms", "p99 ms", "measured")]
        rows += [
            (
                event["event"],
                f"{event['requests']:,}",
                f"{event['requests'] / max(event['seconds'], 1):.0f}",
                f"{event['failed']}",
                f"{event['worst_ms']:.0f}",
                f"{event['p99_ms']:.0f}",
                event["measured"],
            )
            for event in self.details["events"]
        ]
        return "\n".join(aligned(rows))

    def conclude(self, json_file: Path | None) -> int:
        """As every report, with each event in which requests failed as a miss."""
        self.misses = [
            f"{event['event']}: {event['failed']} of {event['requests']:,} requests failed; none was to"
            for event in self.details["events"]
            if event["failed"]
        ]
        return super().conclude(json_file)
