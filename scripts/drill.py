#!/usr/bin/python3
"""Prove that the backups can be restored: to a moment that nobody chose, in a cluster that is thrown away."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

import psycopg  # noqa: E402  (the path above has to be there first)
from toolbox import drilling, output, pgbackrest, settings, targets  # noqa: E402
from toolbox.cluster import ClusterError  # noqa: E402
from toolbox.drill_report import keep  # noqa: E402
from toolbox.job import EndedError, end_in_order, keep_figures, told  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.smoke import SmokeError  # noqa: E402
from toolbox.timelines import WindowError  # noqa: E402

EPILOG = f"""\
what it does:
  1. Chooses a moment between the oldest backup and the newest archived WAL, restores to it beside everything else, and
     proves by PostgreSQL's own words and the heartbeat that it got there. A moment from before the product's first
     table proves nothing: then it is the end of the archive.
  2. Counts the rows of every table, and reads the schema's revision.
  3. Lets the release that belongs to this revision serve from the restored database, on this host only, and asks it.
     Where no release is on the host, the report says that this was left out.
  4. Looks into every table and index (pg_amcheck), and compares every page with its checksum (pg_checksums).
  5. Holds the time that it took against the RTO, and the age of the newest WAL against the RPO.
  6. Removes all of it, and keeps a report (HTML and JSON). What a killed one leaves is removed by the next.

The restored cluster never archives, and the live one is not touched. A wrong page or a missed promise is exit status 2.

examples:
  bundle-drill
  bundle-drill --time '2026-01-06 12:00:00+00'      the same moment as the last time
  bundle-drill --plan                               says to which moment and from which backup, and does nothing
  systemctl start drill; journalctl -u drill -f

{output.EXIT_STATUS_HELP}.
"""
NOT_RESTORED = (
    ClusterError,
    WindowError,
    SmokeError,
    pgbackrest.PgbackrestError,
    psycopg.Error,
    OSError,
    EndedError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a drill, keep its report and figures, say what was found."""
    options = read_options(argv)
    end_in_order()
    report = output.Report("Restore drill")
    try:
        known = settings.load()
        report.title = f"Restore drill of {known.stanza}"
        if "repository" not in known.parts:
            raise settings.SettingsError("this host keeps no backups; run it on the host with the repository")
        if os.geteuid() != 0:
            raise PermissionError(None, "run this as root: it starts a service as the product's user")
        target = targets.parse("time", options.time) if options.time else None
        with only_one(known.state_directory / "drill.lock", "a drill"):
            (plan if options.plan else drill)(known, target, report)
    except (settings.SettingsError, targets.TargetError, LockedError, OSError) as error:
        report.add("critical", "not begun", str(error), "bundle-drill --help")
    print(report.render(options.format))
    return report.exit_status


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bundle-drill",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--time", metavar="MOMENT", help="restore to this moment, or to latest")
    parser.add_argument("--plan", action="store_true", help="say what would be restored, and do nothing")
    output.add_format_option(parser)
    return parser.parse_args(argv)


def plan(known: settings.Settings, target: targets.Target | None, report: output.Report) -> None:
    """Say what would be done."""
    try:
        course = drilling.choose(known, target)
        clone = drilling.clone_of(known)
        clone.check_space(course.backups[0])
        clone.check_tablespaces(course.backups[0])
    except NOT_RESTORED as error:
        report.add("critical", "refused", str(error), drilling.FAILED)
        return
    report.add("ok", "plan", f"{course.target}, from {course.backups[0].label}, into {known.drill_directory}")


def drill(known: settings.Settings, target: targets.Target | None, report: output.Report) -> None:
    """Make a drill, and keep its report and figures whatever came of it."""
    moment, began = datetime.now(UTC), time.monotonic()
    seconds: dict[str, float] = {}
    try:
        drilling.clear(known)
        course = drilling.choose(known, target)
        seconds = course.seconds
        drilling.run(known, course, report, told)
    except NOT_RESTORED as error:
        report.add("critical", "failed", str(error), f"see {drilling.FAILED}")
    report.add_table(
        "Steps", ("step", "time"), [(name, output.Seconds(took)) for name, took in seconds.items()]
    )
    success = report.level != "critical"
    report.facts |= {
        "began": moment.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - began,
        "rto_seconds": known.rto_seconds,
        "rpo_seconds": known.rpo_seconds,
    }
    report.metric("bundle_drill_success", success, "1 if the last drill went well, 0 if not")
    report.metric("bundle_drill_timestamp_seconds", moment.timestamp(), "When the last drill began")
    report.metric("bundle_drill_duration_seconds", time.monotonic() - began, "How long all of it took")
    report.metric("bundle_drill_rto_seconds", known.rto_seconds, "How long a restore may take")
    report.metric("bundle_drill_rpo_seconds", known.rpo_seconds, "How much work may be lost")
    if success:
        report.metric(
            "bundle_drill_last_success_timestamp_seconds",
            moment.timestamp(),
            "When a drill last went well",
        )
    keep_figures(known.metrics_directory / "bundle_drill.prom", report)
    page = keep(known.drill_reports, report, moment)
    report.add("ok", "report", f"{page} and .json beside it")


if __name__ == "__main__":
    sys.exit(main())
