#!/usr/bin/python3
"""Take the database back: to a moment, a restore point, a transaction, or the end of the archive."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

import psycopg  # noqa: E402  (the path above has to be there first)
from toolbox import journal, output, parcel, pgbackrest, restoring, settings, sidedb, switching  # noqa: E402
from toolbox.cluster import ClusterError  # noqa: E402
from toolbox.dumps import Dump  # noqa: E402
from toolbox.exchange import ExchangeError  # noqa: E402
from toolbox.job import EndedError, end_in_order, told  # noqa: E402
from toolbox.live import Live, LiveError  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.restoring import Place, RestoreError  # noqa: E402
from toolbox.targets import Target, TargetError, parse  # noqa: E402
from toolbox.timelines import shown  # noqa: E402

EPILOG = f"""\
At three in the morning:
  1. bundle-restore window                                     from when to when
  2. bundle-restore prepare --time '2026-01-06 12:00:00+00'    restores beside the live cluster, which goes on
  3. read the counts; look into it with the psql line that is printed
  4. bundle-restore switch                                     or: bundle-restore discard
  5. systemctl start backup@full, on the host that has the repository

Nothing is overwritten: the cluster before the switch stays in a directory that is named at the end. A command that was
killed, by a power cut too, is run again and goes on. When only some rows are gone: bundle-restore dump.

{output.EXIT_STATUS_HELP}.
"""
PROBLEMS = (
    TargetError,
    RestoreError,
    sidedb.DumpRestoreError,
    settings.SettingsError,
    journal.JournalError,
    pgbackrest.PgbackrestError,
    ClusterError,
    LiveError,
    ExchangeError,
    LockedError,
    OSError,
    psycopg.Error,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Do one step of a restore and say what is there now."""
    options = read_options(argv)
    end_in_order()
    try:
        known = settings.load()
        if "database" not in known.parts:
            raise settings.SettingsError("this host has no cluster; run it on the database host")
        if os.geteuid() != 0:
            raise PermissionError(None, "run this as root: it starts and stops clusters")
        place = Place(known, Live(known))
        with only_one(known.state_directory / "restore.lock", f"bundle-restore {options.command}"):
            report = STEPS[options.command](place, options)
    except (*PROBLEMS, EndedError) as error:
        report = output.Report(f"bundle-restore {options.command}")
        for line in problems(error):
            report.add(
                "critical", "refused" if isinstance(error, TargetError | RestoreError) else "failed", line
            )
    print(report.render(options.format))
    return report.exit_status


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bundle-restore",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="command", required=True, metavar="STEP")

    def step(name: str, text: str) -> argparse.ArgumentParser:
        made = steps.add_parser(name, help=text, description=text)
        output.add_format_option(made)
        return made

    step("window", "say from when to when can be restored, with the backups and timelines that there are")
    point = step("point", "make a named restore point, and have it in the archive")
    point.add_argument("name")
    prepare = step("prepare", "restore beside the live cluster, which goes on, and show what is there")
    target = prepare.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--time", metavar="MOMENT", help="'2026-01-06 12:00:00+00': what was committed by then"
    )
    target.add_argument("--name", metavar="POINT", help="a restore point that bundle-restore point made")
    target.add_argument("--xid", metavar="NUMBER", help="a transaction, and what was committed before it")
    target.add_argument("--lsn", metavar="LSN", help="a place in the WAL")
    target.add_argument("--latest", action="store_true", help="all that is in the archive")
    prepare.add_argument("--exclusive", action="store_true", help="leave out what the target itself names")
    prepare.add_argument(
        "--timeline", type=int, default=0, metavar="NUMBER", help="another than the current one"
    )
    prepare.add_argument(
        "--set", default="", metavar="LABEL", help="the backup to begin with; it is found without"
    )
    prepare.add_argument("--dry-run", action="store_true", help="find what is wrong, say what would be done")
    step("show", "show what is restored and waits")
    switch = step("switch", "put what is restored in the place of the live cluster, whose directory is kept")
    switch.add_argument(
        "--wait",
        type=float,
        default=5,
        metavar="SECONDS",
        help="how long open transactions may take (default 5)",
    )
    switch.add_argument("--end-sessions", action="store_true", help="then end those that are still open")
    step("discard", "remove what is restored and waits; the live cluster is not touched")
    dump = step(
        "dump", "restore the newest logical dump into a database beside the live one, to take rows from"
    )
    dump.add_argument(
        "--table", action="append", default=[], metavar="TABLE", help="only its rows; may be repeated"
    )
    dump.add_argument("--dry-run", action="store_true", help="find what is wrong, say what would be done")
    which = dump.add_mutually_exclusive_group()
    which.add_argument("--dump", default="", metavar="NAME", help="another dump than the newest")
    which.add_argument(
        "--brought",
        default="",
        metavar="NAME",
        help="the one that was brought where bundle-restore receive said; it is removed, however this ends",
    )
    coming = step(
        "receive", "make the place for a dump that playbooks/restore.yml brings from the backup host"
    )
    coming.add_argument("name", metavar="NAME", help="of the dump")
    coming.add_argument(
        "--bytes", type=int, required=True, metavar="NUMBER", help="how much of it is brought"
    )
    coming.add_argument("--dry-run", action="store_true", help="only see whether there is room for it")
    return parser.parse_args(argv)


def target_of(options: argparse.Namespace) -> Target:
    """The target that was given."""
    more = {"timeline": options.timeline, "exclusive": options.exclusive}
    if options.latest:
        return parse("latest", "", **more)
    kind = next(name for name in ("time", "name", "xid", "lsn") if getattr(options, name) is not None)
    return parse(kind, getattr(options, kind), **more)


def window(place: Place, _options: argparse.Namespace) -> output.Report:
    """What could be restored."""
    report = output.Report(f"What can be restored of {place.known.stanza}")
    archive = restoring.read_archive(place.live)
    for timeline in sorted(archive.ways.chains):
        there = restoring.the_window(place.live, archive, timeline)
        if there.first is not None:
            report.add("ok", f"timeline {timeline}", str(there))
            report.facts[f"timeline_{timeline}"] = {"first": there.first, "last": there.last}
    backups = [
        (one.label, one.kind, one.timeline, shown(one.stopped), one.database_bytes, one.failed or "")
        for one in archive.stanza.backups
    ]
    columns = ("backup", "kind", "timeline", "ended at", "bytes", "damaged pages")
    report.tables.append(output.Table("Backups", columns, backups))
    made = [
        (point["name"], point["at"], point["lsn"], point["timeline"])
        for point in restoring.points(place.state)
    ]
    report.tables.append(output.Table("Restore points", ("name", "made at", "place", "timeline"), made))
    return report


def point(place: Place, options: argparse.Namespace) -> output.Report:
    """A restore point."""
    parse("name", options.name)
    made = restoring.make_point(place, options.name)
    report = output.Report(f"Restore point of {place.known.stanza}")
    report.add("ok", "made", f"{made['name']} at {made['at']} ({made['lsn']}), and it is in the archive")
    report.facts |= made
    return report


def prepare(place: Place, options: argparse.Namespace) -> output.Report:
    """A restore beside the live cluster."""
    target = target_of(options)
    there = journal.read(place.state)
    if there is not None and there.phase in {"switching", "switched"}:
        raise RestoreError(f"the switch to {there.target} is not finished: bundle-restore switch finishes it")
    if there is not None and there.phase != "restoring" and there.target == target and not options.dry_run:
        told(f"{there.target} was prepared at {there.began} and waits")
        return show(place, options)
    wanted = restoring.plan(place, target, options.set)
    if options.dry_run:
        return would(place, wanted)
    if there is not None:
        told(f"removing what was restored for {there.target} at {there.began}")
        restoring.discard(place, there)
    _, report = restoring.prepare(place, wanted, told)
    return ask(report)


def would(place: Place, wanted: restoring.Plan) -> output.Report:
    """What prepare would do."""
    report = output.Report(f"Restore of {place.known.stanza} to {wanted.target}")
    backup = wanted.backups[0]
    report.add(
        "ok",
        "would restore",
        f"{backup.label} ({backup.kind}, {backup.database_bytes / 1e6:,.1f} MB, ended at {shown(backup.stopped)}) into "
        f"{place.directory}, and recover to {wanted.target} along timeline {wanted.chain.timeline}",
    )
    report.add("ok", "window", str(wanted.window))
    return report


def show(place: Place, _options: argparse.Namespace) -> output.Report:
    """What waits."""
    there = journal.read(place.state)
    report = output.Report(f"Restore of {place.known.stanza}")
    if there is None:
        report.add("ok", "nothing", "no restore is under way")
        return report
    if there.phase == "restoring":
        raise RestoreError(
            f"the restore to {there.target} was ended before it was whole: prepare it again, or discard it"
        )
    if there.phase == "prepared":
        restoring.take_up(place, told)
    seen = output.Report(there.report["title"])
    for finding in there.report["findings"]:
        seen.add(**finding)
    for title, rows in there.report["tables"].items():
        columns = list(rows[0]) if rows else []
        seen.tables.append(output.Table(title, columns, [list(row.values()) for row in rows]))
    known = {"title", "level", "findings", "metrics", "tables"}
    seen.facts = {name: value for name, value in there.report.items() if name not in known} | {
        "phase": there.phase
    }
    return ask(seen)


def ask(report: output.Report) -> output.Report:
    """With what to type next."""
    report.add("ok", "next", "bundle-restore switch, or bundle-restore discard")
    return report


def switch(place: Place, options: argparse.Namespace) -> output.Report:
    """The exchange."""
    there = journal.read(place.state)
    if there is None:
        raise RestoreError(
            "nothing is restored that could take the live cluster's place: bundle-restore prepare"
        )
    # A backup of the cluster that is being replaced would be of two halves.
    with only_one(place.state / "backup.lock", "bundle-restore switch"):
        return switching.switch(place, there, options.wait, options.end_sessions, told)


def discard(place: Place, _options: argparse.Namespace) -> output.Report:
    """The end of a restore that is not wanted."""
    report = output.Report(f"Restore of {place.known.stanza}")
    there = journal.read(place.state)
    if there is None:
        report.add("ok", "nothing", "no restore is under way")
    else:
        restoring.discard(place, there)
        report.add("ok", "removed", f"what was restored for {there.target}")
    return report


def dump(place: Place, options: argparse.Namespace) -> output.Report:
    """A database from a dump."""
    if options.brought:
        with parcel.unpacked(place.known, options.brought) as chosen:
            return from_dump(place, chosen, options)
    return from_dump(place, sidedb.choose(place.known, options.dump), options)


def from_dump(place: Place, chosen: Dump, options: argparse.Namespace) -> output.Report:
    """A database from this dump, or what it would be."""
    if options.dry_run:
        sidedb.check(place.known, place.live, chosen, options.table)
        report = output.Report(f"{', '.join(options.table) or place.known.database} from a dump")
        report.add("ok", "would restore", f"{chosen.path.name} into a database beside {place.known.database}")
        return report
    return sidedb.restore(place.known, place.live, chosen, options.table, told)


def receive(place: Place, options: argparse.Namespace) -> output.Report:
    """A place for a dump that is brought from another host."""
    file = parcel.expect(place.known, place.live, options.name, options.bytes, dry_run=options.dry_run)
    report = output.Report("Dump from the backup host")
    size = output.size_text(options.bytes)
    if options.dry_run:
        text = f"{options.name}, {size}, and restored into a database beside {place.known.database}"
        report.add("ok", "would be brought", text)
    else:
        report.add("ok", "expected", f"{options.name}, {size}, as {file}")
    report.facts |= {"file": file, "directory": file.parent}
    return report


STEPS = {step.__name__: step for step in (window, point, prepare, show, switch, discard, receive, dump)}


def problems(error: Exception) -> list[str]:
    """The lines of a refusal, each a problem; other errors are one, however long."""
    text = str(error) or repr(error)
    return text.splitlines() if isinstance(error, RestoreError | sidedb.DumpRestoreError) else [text]


if __name__ == "__main__":
    sys.exit(main())
