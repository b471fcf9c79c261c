#!/usr/bin/python3
"""Say whether WAL gets from this database host into the repositories, and whether it is really there."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import archiving, output, pgbackrest, settings  # noqa: E402  (the path above has to be there first)
from toolbox.archiving import Server, Stored  # noqa: E402
from toolbox.database import DatabaseError  # noqa: E402
from toolbox.job import keep_figures  # noqa: E402
from toolbox.user import become  # noqa: E402

EPILOG = f"""\
PostgreSQL believes its archive command: one that ends with 0 and stores nothing makes it throw WAL away. So what it
holds for archived is looked up in each repository. Cron asks each minute, as the unit archive-status.

What you may read:
  WAL is kept since …          the repository cannot be reached or is full; nothing is lost while the disk has room
  archiving fails silently …   what PostgreSQL says is archived is in no repository; save it while pg_wal still has it
  disk …                       the file system of pg_wal has less than {archiving.FREE_PERCENT["warning"]} % free

examples:
  bundle-archive-status
  bundle-archive-status --format json | jq '.metrics[] | {{name, value}}'

{output.EXIT_STATUS_HELP}.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Look, leave the figures, say what was found."""
    parser = argparse.ArgumentParser(
        prog="bundle-archive-status",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing while all is well")
    output.add_format_option(parser)
    options = parser.parse_args(argv)
    report = output.Report("Archiving")
    try:
        become(pgbackrest.USER)
        known = settings.load()
        if "database" not in known.parts:
            raise settings.SettingsError("no cluster runs on this host; run it on the database host")
        look(known, report)
    except (settings.SettingsError, OSError) as error:
        report.add("critical", "not looked at", str(error), "see docs/backups.md")
    if not (options.quiet and report.level == "ok"):
        print(report.render(options.format))
    return report.exit_status


def look(known: settings.Settings, report: output.Report) -> None:
    """Ask both sides, and write the figures."""
    wal_directory = known.data_directory / "pg_wal"
    stored: dict[int, Stored] = {}
    try:
        server = archiving.ask_server(known)
        try:
            stored = archiving.ask_repositories(known, server)
        except pgbackrest.PgbackrestError as error:
            stored = {1: Stored(error=str(error))}
        report.findings += archiving.judge(
            server, stored, wal_directory, timedelta(seconds=known.rpo_seconds)
        )
        report.metrics += figures(server, stored, wal_directory)
        if report.level == "ok":
            newest = ", ".join(f"{one.newest} in repository {key}" for key, one in stored.items())
            report.add("ok", "archiving", f"the newest segment is {newest}")
    except DatabaseError as error:
        report.add("critical", "not looked at", str(error), "systemctl status postgresql@15-main")
    ok = float(report.level != "critical")
    report.metrics.append(output.Metric("bundle_archive_success", ok, "1 if WAL gets away, 0 if not"))
    keep_figures(known.metrics_directory / "bundle_archive.prom", report)


def figures(server: Server, stored: dict[int, Stored], wal_directory: Path) -> list[output.Metric]:
    """What is worth a graph."""
    since = server.waiting_since
    metric = output.Metric
    found = [
        metric("bundle_archive_waiting_segments", len(server.ready), "WAL files that wait to be archived"),
        metric(
            "bundle_archive_waiting_seconds",
            (server.now - since).total_seconds() if since else 0,
            "For how long the oldest of them waits",
        ),
        metric("bundle_archive_failures_total", server.failed, "How often the archive command failed"),
        metric("bundle_archive_wal_bytes", server.wal_bytes, "Size of pg_wal"),
        metric(
            "bundle_archive_filesystem_free_bytes",
            shutil.disk_usage(wal_directory).free,
            "Free space where pg_wal is",
        ),
        metric("bundle_archive_timestamp_seconds", server.now.timestamp(), "When it was last looked at"),
    ]
    if server.last_archived_at:
        moment = server.last_archived_at.timestamp()
        found.append(
            metric(
                "bundle_archive_last_archived_timestamp_seconds",
                moment,
                "When PostgreSQL last archived a file, by its own word",
            )
        )
    for key, one in stored.items():
        labels = {"repository": str(key)}
        found += [
            metric(
                "bundle_archive_repository_up", float(not one.error), "1 if the repository answers", labels
            ),
            metric(
                "bundle_archive_lost_segments",
                len(one.missing),
                "WAL files that PostgreSQL holds for archived and the repository has not",
                labels,
            ),
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
