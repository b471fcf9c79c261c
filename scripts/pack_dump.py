#!/usr/bin/python3
"""Pack a logical dump, or what of it some tables need, into one file for the database host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import output, parcel, pgbackrest, settings, sidedb  # noqa: E402  (the path above comes first)
from toolbox.job import EndedError, end_in_order  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.user import become  # noqa: E402

EPILOG = f"""\
On the host that keeps the dumps. playbooks/restore.yml runs it, brings the file to the database host, restores it there
and removes it on both.

examples:
  bundle-pack-dump --dry-run
  bundle-pack-dump --table jobs --table candidates

The dump is read and held against its checksums first. The file can be read by root and {pgbackrest.USER} alone; the
next run removes it.
{output.EXIT_STATUS_HELP}.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Pack it and say where it is."""
    parser = argparse.ArgumentParser(
        prog="bundle-pack-dump",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dump", default="", metavar="NAME", help="another dump than the newest")
    parser.add_argument(
        "--table", action="append", default=[], metavar="TABLE", help="only its rows; may be repeated"
    )
    parser.add_argument("--dry-run", action="store_true", help="find what is wrong, say what would be packed")
    output.add_format_option(parser)
    options = parser.parse_args(argv)
    end_in_order()
    report = output.Report("Dump for the database host")
    try:
        become(pgbackrest.USER)
        known = settings.load()
        if "repository" not in known.parts:
            raise settings.SettingsError(
                "this host keeps no dumps; run it on the host that has the repository"
            )
        with only_one(known.state_directory / "pack-dump.lock", "bundle-pack-dump"):
            pack(known, options, report)
    except sidedb.DumpRestoreError as error:
        for line in str(error).splitlines():
            report.add("critical", "not packed", line)
    except (settings.SettingsError, LockedError, EndedError, OSError) as error:
        report.add("critical", "not packed", str(error))
    print(report.render(options.format))
    return report.exit_status


def pack(known: settings.Settings, options: argparse.Namespace, report: output.Report) -> None:
    """Pack what the options name."""
    planned = parcel.plan(known, sidedb.choose(known, options.dump), options.table)
    if not options.dry_run:
        parcel.pack(known, planned)
    dump = planned.dump
    report.add(
        "ok",
        "would be packed" if options.dry_run else "packed",
        f"{dump.path.name}, {len(planned.files)} of its files, {output.size_text(planned.bytes)} of "
        f"{output.size_text(dump.bytes)}",
    )
    report.facts |= {
        "dump": dump.path.name,
        "bytes": planned.bytes,
        "file": planned.file,
        "directory": planned.file.parent,
    }


if __name__ == "__main__":
    sys.exit(main())
