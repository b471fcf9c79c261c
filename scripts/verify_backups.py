#!/usr/bin/python3
"""Find out whether the backups can be relied on: every file read, every WAL segment counted, every age compared."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import complaints, dumps, output, pgbackrest, repository, segments, settings, verification  # noqa: E402
from toolbox.job import EndedError, end_in_order, keep_figures  # noqa: E402
from toolbox.lock import is_held  # noqa: E402
from toolbox.user import become  # noqa: E402

EPILOG = f"""\
pgBackRest's own `verify` ends with 0 whatever it finds, and does not miss a WAL segment or a manifest that is gone.
This reads what it says, and looks for the rest itself:
  - every file of every backup and every WAL segment is read and compared with the checksum that it was stored with
  - each backup has its manifest, and all backups that it builds on
  - the WAL leads without a gap from the first segment of the oldest backup to the newest, across timelines
  - each kind of backup is as young as its schedule says, and the newest WAL is younger than the RPO
  - the last run of each kind of backup went well, and each logical dump is as it was written

examples:
  bundle-verify-backups
  bundle-verify-backups --quick                       only lists, in a second: no file is read
  bundle-verify-backups --format json | jq .findings
  systemctl start verify-backups; journalctl -u verify-backups -n 30

It changes nothing and takes no lock: backups go on beside it. {output.EXIT_STATUS_HELP}.
"""
# Within this time a segment may be stored after the one that follows it.
SETTLE = timedelta(seconds=60)
LOOK_AGAIN_SECONDS = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    """Verify, leave the figures, say what was found."""
    parser = argparse.ArgumentParser(
        prog="bundle-verify-backups",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="look at lists only, and read no file")
    output.add_format_option(parser)
    options = parser.parse_args(argv)
    end_in_order()
    report = output.Report("Backups")
    try:
        become(pgbackrest.USER)
        known = settings.load()
        report.title = f"Backups of {known.stanza}"
        if "repository" not in known.parts:
            raise settings.SettingsError(
                "this host keeps no backups; run it on the host that has the repository"
            )
        verify(known, report, quick=options.quick)
    except (settings.SettingsError, pgbackrest.PgbackrestError, EndedError, OSError) as error:
        report.add("critical", "not verified", str(error), "see docs/backups.md")
    print(report.render(options.format))
    return report.exit_status


def verify(known: settings.Settings, report: output.Report, *, quick: bool) -> None:
    """Look at all of it, and write the figures unless it was only a quick look."""
    began = time.monotonic()
    try:
        look(known, report, quick=quick)
    except (pgbackrest.PgbackrestError, EndedError, OSError) as error:
        report.add("critical", "not verified", str(error), "see docs/runbooks/backup-failed.md")
    bad = sum(finding.level == "critical" for finding in report.findings)
    now = datetime.now(UTC).timestamp()
    report.metrics += [
        output.Metric("bundle_verify_success", float(not bad), "1 if the backups can be relied on, 0 if not"),
        output.Metric("bundle_verify_problems", bad, "How many critical problems were found"),
        output.Metric("bundle_verify_duration_seconds", time.monotonic() - began, "How long it took"),
        output.Metric("bundle_verify_timestamp_seconds", now, "When it was last looked at"),
    ]
    if not bad:
        report.metrics.append(
            output.Metric("bundle_verify_last_success_timestamp_seconds", now, "When all was last well")
        )
    if not quick:
        keep_figures(known.metrics_directory / "bundle_verify.prom", report)


def look(known: settings.Settings, report: output.Report, *, quick: bool) -> None:
    """Look at every repository, and at the dumps."""
    keys = [one.key for one in pgbackrest.info(known.stanza).repositories]
    said = {} if quick else {key: complaints.ask(known.stanza, key) for key in keys}
    there = repository.snapshot(known.stanza)
    stanza, now = there.stanza, datetime.now(UTC)
    report.findings += verification.state(stanza)
    at_work = is_held(known.state_directory / "backup.lock")
    report.findings += verification.jobs(known.metrics_directory, at_work=at_work)
    for key in keys:
        backups = [backup for backup in stanza.backups if backup.repository == key]
        archived = {
            archive: settled(known.stanza, archive, backups, there)
            for archive in stanza.archives
            if archive.repository == key
        }
        for archive, stored in archived.items():
            of_it = [backup for backup in backups if backup.cluster == archive.cluster]
            report.findings += verification.continuity(archive.identity, stored, of_it)
            report.metrics.append(missing(key, archive.identity, verification.gaps(stored, of_it)))
        report.findings += verification.freshness(
            list(archived.values()), now, timedelta(seconds=known.rpo_seconds)
        )
        report.findings += verification.whole(backups, there.backup[key])
        report.findings += verification.empty([*there.archive[key], *there.backup[key]])
        if key in said:
            by_identity = {archive.identity: stored for archive, stored in archived.items()}
            report.findings += verification.contents(said[key], backups, by_identity)
        report.findings += stale(known, backups, now)
        report.tables.append(table(key, backups))
    report.findings += stale_dumps(known, now)
    report.findings += verification.dumped(known.dump_directory)
    if report.level == "ok":
        read = "lists only, no file was read" if quick else "every file was read"
        report.add("ok", "backups", f"{len(stanza.backups)} can be relied on ({read})")


def settled(
    stanza: str, archive: pgbackrest.Archive, backups: list[pgbackrest.Backup], there: repository.Snapshot
) -> repository.Wal:
    """The WAL of an archive, looked at again while a gap in it is young: WAL is sent by several processes at once."""
    listed = there.archive[archive.repository]
    deadline = time.monotonic() + SETTLE.total_seconds()
    while True:
        stored = repository.archived(stanza, archive, listed)
        gaps = verification.gaps(stored, [one for one in backups if one.cluster == archive.cluster])
        if time.monotonic() > deadline or not verification.unsettled(gaps, stored, datetime.now(UTC), SETTLE):
            return stored
        time.sleep(LOOK_AGAIN_SECONDS)
        listed = repository.files(stanza, archive.repository, f"archive/{stanza}")


def stale(known: settings.Settings, backups: list[pgbackrest.Backup], now: datetime) -> list[output.Finding]:
    """Whether the backups of a repository are as young as their schedule says."""
    made: dict[str, list[datetime]] = {}
    for backup in backups:
        made.setdefault(backup.kind, []).append(backup.started)
    return verification.ages(made, scheduled(known, "full", "diff", "incr"), now, allowance(known))


def stale_dumps(known: settings.Settings, now: datetime) -> list[output.Finding]:
    """Whether there is a logical dump as young as the schedule says."""
    made = {"dump": [dump.moment for dump in dumps.every(known.dump_directory)]}
    return verification.ages(made, scheduled(known, "dump"), now, allowance(known))


def scheduled(known: settings.Settings, *kinds: str) -> dict[str, str]:
    """When the jobs of some kinds begin."""
    return {kind: known.schedule.get(kind, "") for kind in kinds}


def allowance(known: settings.Settings) -> timedelta:
    """How long a backup that is due may take until it is missed."""
    return timedelta(seconds=known.time_limit)


def missing(key: int, identity: str, gaps: list[segments.Gap]) -> output.Metric:
    """How many WAL segments are not there."""
    return output.Metric(
        "bundle_verify_missing_wal_segments",
        sum(gap.count for gap in gaps),
        "WAL segments that are not there, between the oldest backup and the newest moment",
        {"repository": str(key), "archive": identity},
    )


def table(key: int, backups: list[pgbackrest.Backup]) -> output.Table:
    """The backups of a repository, for people."""
    return output.Table(
        f"Repository {key}",
        ("backup", "finished (UTC)", "database", "stored", "first WAL"),
        [
            (
                backup.label,
                f"{backup.stopped:%Y-%m-%d %H:%M:%S}",
                output.size_text(backup.database_bytes),
                output.size_text(backup.repository_own_bytes),
                backup.wal_first,
            )
            for backup in backups
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
