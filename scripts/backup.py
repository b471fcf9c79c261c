#!/usr/bin/python3
"""Make a backup now: bundle-backup full, diff, incr or dump. Cron starts it as the unit backup@KIND."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import dumps, output, pgbackrest, settings, unfinished  # noqa: E402  (the path above comes first)
from toolbox.job import BEGUN, EndedError, backup_figures, end_in_order, told  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.user import become  # noqa: E402

KINDS = ("full", "diff", "incr", "dump")
# The repository that is on the disk of the host, by pgBackRest's number.
LOCAL = 1
FULL = "see docs/runbooks/repository-full.md"
EPILOG = f"""\
full      everything, and what no later restore needs any more goes (retention)
diff      what changed since the last full backup
incr      what changed since the last backup of any kind
dump      a logical dump (pg_dump, directory format) that another version of PostgreSQL can read too

examples:
  bundle-backup full
  systemctl start backup@diff && journalctl -u backup@diff -n 20
  runuser -u postgres -- pgbackrest --stanza=STANZA info

One backup runs at a time. Where there are two repositories, each gets its own, one after the other.
{output.EXIT_STATUS_HELP}.
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


@dataclass(frozen=True)
class Made:
    """What was made. Sizes in bytes: of the database, and of what was stored."""

    text: str
    size: int
    stored: int
    damaged: bool = False


def make(kind: str, known: settings.Settings) -> output.Report:
    """Make a backup of a kind in each repository and write its figures, whether it went well or not.

    One that fails does not keep the next repository from its backup.
    """
    report = output.Report(f"Backup {kind} of {known.stanza}")
    path = backup_figures(known.metrics_directory, kind)
    note_begin(path, kind)
    # A dump is in no repository.
    places = [{}] if kind == "dump" else [{"repository": str(number)} for number in known.repositories]
    for place in places:
        try:
            make_one(kind, known, report, place)
        except EndedError:
            # What it said is in the report, and nobody waits for more.
            break
    write_figures(path, report, places)
    return report


def note_begin(path: Path, kind: str) -> None:
    """Leave in the figures that one is under way: what ends it may leave it no time to say so, such as a power cut."""
    now = datetime.now(UTC).timestamp()
    begun = metric(BEGUN, now, "When the one began that has not ended yet", {"kind": kind})
    try:
        output.write_metrics(path, [*(one for one in output.read_metrics(path) if one.name != BEGUN), begun])
    except OSError as error:
        # A backup is worth more than its figures.
        told(f"{path} cannot be written: {error}")


def make_one(kind: str, known: settings.Settings, report: output.Report, place: dict[str, str]) -> None:
    """Make one backup; `place` is the label of its repository, empty for a dump.

    Raises:
        EndedError: it was ended; the report says so.
    """
    where = f" in repository {place['repository']}" if len(known.repositories) > 1 and place else ""
    labels = {"kind": kind, **place}
    began = time.monotonic()
    failed = False
    try:
        made = dump(known) if kind == "dump" else back_up(kind, known, int(place["repository"]))
        text = f"{made.text}, {output.size_text(made.stored)} stored of {output.size_text(made.size)}"
        report.add("ok", f"made{where}", f"{text}, in {time.monotonic() - began:.1f} s")
        if made.damaged:
            report.add(
                "critical",
                f"checksums{where}",
                f"pages of the database had a wrong checksum when {made.text} was made",
                "the disk damages data: see the journal of this job, and docs/runbooks/checksum-failure.md",
            )
        failed = made.damaged
        now = datetime.now(UTC).timestamp()
        report.metrics += [
            metric("bundle_backup_last_success_timestamp_seconds", now, "When it last went well", labels),
            metric("bundle_backup_size_bytes", made.size, "Size of the database that was backed up", labels),
            metric("bundle_backup_stored_bytes", made.stored, "What the last backup takes by itself", labels),
        ]
    except (pgbackrest.PgbackrestError, dumps.DumpError, EndedError) as error:
        failed = True
        report.add(
            "critical",
            f"failed{where}",
            str(error),
            f"journalctl -u backup@{kind} has all of it; see docs/backups.md",
        )
        if kind != "dump" and place["repository"] == str(LOCAL):
            make_room(known, report)
        if isinstance(error, EndedError):
            raise
    finally:
        seconds = time.monotonic() - began
        report.metrics += [
            metric("bundle_backup_duration_seconds", seconds, "How long the last one took", labels),
            metric(
                "bundle_backup_success", float(not failed), "1 if the last one went well, 0 if not", labels
            ),
        ]


def make_room(known: settings.Settings, report: output.Report) -> None:
    """Where the repository of this host is full, say so, and give WAL the room of what is unfinished."""
    try:
        room = unfinished.make_room(known)
    except (pgbackrest.PgbackrestError, OSError) as error:
        report.add("critical", "room", str(error), FULL)
        return
    if room is not None:
        gone = (
            f"; {', '.join(room.removed)}, half made, was removed, so that WAL gets away"
            if room.removed
            else ""
        )
        report.add("critical", "room", f"{room.path} is full: {output.size_text(room.free)} free{gone}", FULL)


def dump(known: settings.Settings) -> Made:
    """Make a logical dump."""
    made = dumps.make(known, tell=told)
    return Made(made.path.name, made.database_bytes, made.bytes)


def back_up(kind: str, known: settings.Settings, repository: int) -> Made:
    """Make a physical backup in a repository."""
    pgbackrest.stream(known.stanza, f"--repo={repository}", f"--type={kind}", "backup", tell=told)
    there = [one for one in pgbackrest.info(known.stanza).backups if one.repository == repository]
    newest = max(there, key=lambda one: one.stopped)
    text = f"{newest.label} ({newest.kind})"
    return Made(text, newest.database_bytes, newest.repository_own_bytes, newest.failed)


def write_figures(path: Path, report: output.Report, places: list[dict[str, str]]) -> None:
    """Write the figures; of a job that failed the time of the last good one stays, while its repository does."""
    new = {(metric.name, *sorted(metric.labels.items())) for metric in report.metrics}
    kept = [
        metric
        for metric in output.read_metrics(path)
        if metric.name != BEGUN
        and (metric.name, *sorted(metric.labels.items())) not in new
        and {name: text for name, text in metric.labels.items() if name != "kind"} in places
    ]
    output.write_metrics(path, [*report.metrics, *kept])


def metric(name: str, value: float, text: str, labels: dict[str, str]) -> output.Metric:
    """A figure of a job."""
    return output.Metric(name, value, text, labels)


if __name__ == "__main__":
    sys.exit(main())
