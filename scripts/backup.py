#!/usr/bin/python3
"""Make a backup now: bundle-backup full, diff, incr or dump. Cron starts it as the unit backup@KIND."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import dumps, output, pgbackrest, settings  # noqa: E402  (the path above has to be there first)
from toolbox.job import EndedError, end_in_order, keep_figures, told  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.user import become  # noqa: E402

KINDS = ("full", "diff", "incr", "dump")
EPILOG = f"""\
full      everything, and what no later restore needs any more goes (retention)
diff      what changed since the last full backup
incr      what changed since the last backup of any kind
dump      a logical dump (pg_dump, directory format) that another version of PostgreSQL can read too

examples:
  bundle-backup full
  systemctl start backup@diff && journalctl -u backup@diff -n 20
  runuser -u postgres -- pgbackrest info

One backup runs at a time. {output.EXIT_STATUS_HELP}.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Make one backup, leave its figures, say what was made."""
    parser = argparse.ArgumentParser(
        prog="bundle-backup",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS)
    output.add_format_option(parser)
    options = parser.parse_args(argv)
    end_in_order()
    try:
        become(pgbackrest.USER)
        known = settings.load()
        if "repository" not in known.parts:
            raise settings.SettingsError(
                "this host keeps no backups; run it on the host that has the repository"
            )
        with only_one(known.state_directory / "backup.lock", f"backup {options.kind}"):
            report = make(options.kind, known)
    except (settings.SettingsError, LockedError, OSError) as error:
        report = output.Report(f"Backup {options.kind}")
        report.add("critical", "not begun", str(error))
    print(report.render(options.format))
    return report.exit_status


def make(kind: str, known: settings.Settings) -> output.Report:
    """Make a backup of a kind and write its figures, whether it went well or not."""
    report = output.Report(f"Backup {kind} of {known.stanza}")
    began = time.monotonic()
    try:
        if kind == "dump":
            made = dumps.make(known, tell=told)
            size, stored = made.database_bytes, made.bytes
            text = f"{made.path.name}, {output.size_text(stored)} of {output.size_text(size)}"
        else:
            pgbackrest.stream(known.stanza, f"--type={kind}", "backup", tell=told)
            newest = max(pgbackrest.info(known.stanza).backups, key=lambda one: one.stopped)
            size, stored = newest.database_bytes, newest.repository_own_bytes
            text = f"{newest.label} ({newest.kind}), {output.size_text(stored)} stored of {output.size_text(size)}"
            if newest.failed:
                report.add(
                    "critical",
                    "checksums",
                    f"pages of the database had a wrong checksum when {newest.label} was made",
                    "the disk damages data: see the journal of this job, and docs/runbooks/checksum-failure.md",
                )
        seconds = time.monotonic() - began
        report.add("ok", "made", f"{text}, in {seconds:.1f} s")
        report.metrics += [
            metric(
                "bundle_backup_last_success_timestamp_seconds",
                datetime.now(UTC).timestamp(),
                "When it last went well",
                kind,
            ),
            metric("bundle_backup_size_bytes", size, "Size of the database that was backed up", kind),
            metric("bundle_backup_stored_bytes", stored, "What the last backup takes by itself", kind),
        ]
    except (pgbackrest.PgbackrestError, dumps.DumpError, EndedError) as error:
        seconds = time.monotonic() - began
        report.add(
            "critical",
            "failed",
            str(error),
            f"journalctl -u backup@{kind} has all of it; see docs/backups.md",
        )
    report.metrics += [
        metric("bundle_backup_duration_seconds", seconds, "How long the last one took", kind),
        metric(
            "bundle_backup_success",
            float(report.exit_status == 0),
            "1 if the last one went well, 0 if not",
            kind,
        ),
    ]
    keep_figures(known.metrics_directory / f"bundle_backup_{kind}.prom", report)
    return report


def metric(name: str, value: float, text: str, kind: str) -> output.Metric:
    """A figure of a job."""
    return output.Metric(name, value, text, {"kind": kind})


if __name__ == "__main__":
    sys.exit(main())
