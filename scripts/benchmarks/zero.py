"""zero: what requests meet while something happens to the service: a release, a rollback, restarts, a new certificate,
a reboot. On two hosts of its own, of which one has everything and both have the API, under an open-loop load: requests,
reads and writes, begin when planned, over new and kept connections. The events are tests of the Molecule scenarios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import GROUPS, Host, fresh_hosts, playbook, write_landscape
from scripts.benchmarks.report import Report, aligned
from scripts.support.paths import ROOT, VENV

SUMMARY = "requests that fail while releases, restarts, certificates and reboots happen: none may"
# As molecule/shared/load.py writes it.
PROPERTY = "load: "
# As the test of the rollback writes it, and what it may be at most.
ROLLBACK_PROPERTY = "seconds: from the command to the release before serving"
ROLLBACK_SECONDS = 10.0
ALL, SECOND = Host("zero1", "10.87.13.40", bed="zero"), Host("zero2", "10.87.13.41", bed="zero")
# Requests a second while it is measured how long a rollback takes: two busy cores would be what is measured.
QUIET_RATE = 2.0
# The load is to be at least this; what a process that is late began counts as it came.
LEAST_RATE = 100.0
RELEASE, DEFAULT, SPLIT = (f"molecule/{name}/tests" for name in ("release", "default", "split"))
# Event by event. The first two are one story; the setting of PostgreSQL is taken back by the next provisioning.
TESTS = {
    "a release with a migration is deployed": f"{RELEASE}/change/test_rollback.py::"
    "test_a_newer_release_serves_with_its_schema_and_its_settings",
    "it is rolled back, and its schema": f"{RELEASE}/change/test_rollback.py::"
    "test_a_rollback_brings_back_the_release_its_schema_and_its_settings",
    "pgBouncer restarts": f"{RELEASE}/change/test_restarts.py::test_pgbouncer_restarts",
    "certificates are renewed": f"{RELEASE}/change/test_restarts.py::test_a_certificate_is_renewed",
    "PostgreSQL restarts for a setting": f"{DEFAULT}/change/test_changed_settings.py::"
    "test_a_setting_that_needs_a_restart_is_made_behind_pause_and_no_transaction_fails",
    "a release that fails its health check is refused": f"{RELEASE}/fault/test_releases_that_cannot_serve.py::"
    "test_a_release_that_imports_but_never_becomes_ready_is_refused_and_its_schema_undone",
    "an API host reboots": f"{SPLIT}/reboot/test_reboot_of_an_api_host.py::"
    "test_no_request_fails_while_an_api_host_reboots",
}
# Between the rollback and the next releases: what holds is let go.
BETWEEN = f"{RELEASE}/change/test_rollback.py::test_naming_another_release_ends_the_hold"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--rate", type=float, default=105.0, help="requests that begin in a second (default 105)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the hosts running (python molecule/testbed down zero)"
    )
    parser.add_argument(
        "reports",
        nargs="*",
        type=Path,
        metavar="REPORT",
        help="show what is in these JUnit files of scenarios, which have a smaller load, and measure nothing",
    )


def measure(options: argparse.Namespace) -> Report:
    """Let the events happen on new hosts, or read them from reports.

    Raises:
        BenchmarkError: if the hosts cannot be made, or no report has an event.
    """
    if options.reports:
        events = [event for file in options.reports for event in events_of(file)]
        if not events:
            raise BenchmarkError(
                f"no event in {', '.join(map(str, options.reports))}; scripts/bench zero measures them"
            )
        return Zero("zero", "", details={"events": events})
    with (
        tempfile.TemporaryDirectory(prefix="bench-zero-") as name,
        fresh_hosts(ALL, SECOND, keep=options.keep),
    ):
        inventory = write_landscape(Path(name, "inventory"), {ALL: GROUPS, SECOND: ("api",)})
        # Releases are built in the tests too, with the same cache.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        seconds, _ = playbook(inventory, cache, "site.yml")
        print(f"two hosts are there after {seconds:.0f} s of site.yml", flush=True)
        deployed, rolled_back, *others = TESTS.values()
        quiet, report = Path(name, "quiet.xml"), Path(name, "report.xml")
        said = let_happen(inventory, quiet, QUIET_RATE, deployed, rolled_back, BETWEEN)
        said += let_happen(inventory, report, options.rate, deployed, rolled_back, BETWEEN, *others)
        zero = Zero("zero", "", details={"events": events_of(report), "rate": options.rate})
        zero.took(properties_of(quiet), properties_of(report))
    zero.misses += zero.of_the_load()
    zero.misses += [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return zero


def let_happen(inventory: Path, report: Path, rate: float, *tests: str) -> str:
    """Run the tests of the events and return what pytest said.

    Raises:
        BenchmarkError: if it cannot run them.
    """
    command = [
        VENV / "bin" / "pytest",
        "-q",
        "-rfE",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "--show-capture=no",
    ]
    command += [f"--ansible-inventory={inventory}", f"--load-rate={rate:g}", f"--junitxml={report}"]
    done = subprocess.run(
        [str(word) for word in (*command, *tests)],
        cwd=ROOT,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # 1 is a test that failed: its event is in the report all the same.
    if done.returncode not in (0, 1):
        raise BenchmarkError(f"the tests could not be run:\n{done.stdout[-6000:]}")
    if done.returncode:
        print(done.stdout[-20000:], flush=True)
    return done.stdout


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


def properties_of(file: Path) -> dict[str, str]:
    """All that tests wrote into a JUnit file, by name."""
    found = ElementTree.parse(file).iter("property")  # noqa: S314  our own tests wrote it
    return {each.get("name", ""): each.get("value", "") for each in found}


def a_second(event: dict[str, Any]) -> float:
    """Requests that began in a second of the event."""
    return float(event["requests"] / max(event["seconds"], 1))


class Zero(Report):
    """The events as a table of their own; a failed request is a miss."""

    def table(self) -> str:
        """Return the table as text."""
        rows = [("event", "requests", "a second", "failed", "worst ms", "p99 ms", "measured")]
        rows += [
            (
                event["event"],
                f"{event['requests']:,}",
                f"{a_second(event):.0f}",
                f"{event['failed']}",
                f"{event['worst_ms']:.0f}",
                f"{event['p99_ms']:.0f}",
                event["measured"],
            )
            for event in self.details["events"]
        ]
        return "\n".join([*aligned(rows), *self.notes])

    def took(self, quiet: dict[str, str], loaded: dict[str, str]) -> None:
        """Take note of how long the rollback took, with hardly a request and under the load."""
        name = ROLLBACK_PROPERTY.partition(": ")[2]
        seconds, under_load = (float(each.get(ROLLBACK_PROPERTY, "nan")) for each in (quiet, loaded))
        self.details |= {"rollback": seconds, "rollback_under_load": under_load}
        line = (
            f"{name}: {seconds:.1f} s with {QUIET_RATE:g} requests a second (at most {ROLLBACK_SECONDS:g}),"
            f" {under_load:.1f} s under this load"
        )
        self.notes.append(line)
        if not seconds <= ROLLBACK_SECONDS:
            self.misses.append(line)

    def of_the_load(self) -> list[str]:
        """The events that did not happen, or happened under less load than is asked for."""
        measured = {event["event"]: a_second(event) for event in self.details["events"]}
        return [
            f"{event}: {'was not measured' if rate is None else f'{rate:.0f} requests a second'}, at least"
            f" {LEAST_RATE:.0f} a second were to be"
            for event, rate in ((event, measured.get(event)) for event in TESTS)
            if rate is None or rate < LEAST_RATE
        ]

    def conclude(self, json_file: Path | None) -> int:
        """As every report, with each event in which requests failed as a miss."""
        self.misses = [
            f"{event['event']}: {event['failed']} of {event['requests']:,} requests failed; none was to"
            for event in self.details["events"]
            if event["failed"]
        ] + self.misses
        return super().conclude(json_file)
