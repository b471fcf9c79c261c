#!/usr/bin/env python3
"""Rebuild bloated indexes while writes go on, one at a time, and remove what killed rebuilds left."""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox.checks import (  # noqa: E402
    add_output_options,
    argument,
    deliver,
    failed,
    size_argument,
    time_argument,
)
from toolbox.database import DatabaseError, Session, add_connection_options, connect  # noqa: E402
from toolbox.indexes import (  # noqa: E402
    BLOAT_PERCENT,
    BLOAT_SIZE,
    Bloat,
    Index,
    measure,
    pgstattuple_schema,
    read_indexes,
)
from toolbox.output import EXIT_STATUS_HELP, Bytes, Report, Seconds, size_text, time_text  # noqa: E402
from toolbox.quantities import parse_number, parse_percent  # noqa: E402
from toolbox.rebuild import (  # noqa: E402
    InterruptedRunError,
    Interruption,
    Rebuilder,
    find_leftovers,
    lacking_room,
    only_run,
    owned_tables,
    refusal,
    room_text,
)

EPILOG = f"""\
what it does:
  1. Takes a lock, so that only one run is at work in a database. It is freed when the session ends, however it ends.
  2. Drops what a killed REINDEX CONCURRENTLY left: an invalid index NAME_ccnew or NAME_ccold beside the index NAME with
     the same definition. An index that is being built now, a valid one, or one of your own with such a name stays.
  3. Chooses: the named indexes, all of the named tables, or those that are above --bloat and --bloat-size. Bloat is
     measured by pgstatindex where the extension pgstattuple is, otherwise estimated from statistics; it says which.
  4. Looks whether there is room: for the index a second time, as much WAL, and the sort's files.
  5. REINDEX INDEX CONCURRENTLY, one after the other. Reads and writes go on. It waits for transactions that are open,
     at most --lock-timeout; then it cleans up and tries again, --attempts times in all.
  6. Measures again, and says what it was worth.

  SIGTERM or Ctrl-C stops it: the statement is cancelled and its leftover dropped. After SIGKILL or a power cut the
  old index still serves; the next run removes the leftover.

what it refuses, with the reason: system catalogs, exclusion constraints, indexes of somebody else, a standby, a pooler.

examples:
  bundle-reindex --dry-run                            on the database host, as root or postgres: what would be done
  bundle-reindex                                      do it
  bundle-reindex --index idx_jobs_status_location_type --index public.jobs_pkey
  bundle-reindex --table jobs --lock-timeout 10min    all indexes of a table, with patience for a long report
  bundle-reindex --bloat 60 --bloat-size 1GB --format json
  bundle-reindex --host db1 --user intowork_migrator --dbname intowork --free-space 20GB

when it says that it waited for a lock: end the transaction that it names, or raise --lock-timeout.
when an index cannot be rebuilt because of duplicate rows: it is unique and was never valid; clean the rows first.

{EXIT_STATUS_HELP}: an index was not rebuilt, or a leftover is still there.
"""
SYSTEM_OBJECT = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND n.nspname IN ('pg_catalog', 'information_schema')
  AND %(schema)s::text IN ('', n.nspname::text)
"""


@dataclass
class Candidate:
    """An index that was chosen, and what became of it."""

    index: Index
    bloat: Bloat | None
    refused: str = ""
    attempts: int = 0
    seconds: float | None = None
    size_after: int | None = None
    bloat_after: Bloat | None = None
    problem: str = ""

    @property
    def outcome(self) -> str:
        """One word for the table."""
        if self.refused:
            return "refused"
        if self.problem:
            return "failed"
        return "rebuilt" if self.attempts else "not begun"


def choose(session: Session, options: argparse.Namespace, schema: str | None) -> list[Candidate]:
    """The indexes that are named, or are bloated enough. DatabaseError for a name that is not there."""
    indexes = read_indexes(session)
    if options.index or options.table:
        chosen = {index.oid: index for name in options.index for index in named(session, name, indexes)}
        for name in options.table:
            chosen |= {index.oid: index for index in of_table(session, name, indexes)}
        candidates = [Candidate(index, measure(session, index, schema)) for index in chosen.values()]
    else:
        large = [index for index in indexes if index.size >= options.bloat_size and index.valid]
        candidates = [Candidate(index, measure(session, index, schema)) for index in large]
        candidates = [one for one in candidates if one.bloat and one.bloat.percent >= options.bloat]
    owned = owned_tables(session)
    for candidate in candidates:
        candidate.refused = refusal(candidate.index, owner=candidate.index.table_oid in owned) or ""
    # The smallest first: each gives room to the next one.
    return sorted(candidates, key=lambda one: (one.index.size, one.index.full_name))


def named(session: Session, name: str, indexes: list[Index]) -> list[Index]:
    """The index of this name, with or without its schema."""
    found = [index for index in indexes if name in (index.name, index.full_name, index.quoted)]
    if len(found) == 1:
        return found
    if found:
        raise DatabaseError(
            f"--index {name} is ambiguous: {', '.join(sorted(index.full_name for index in found))}"
        )
    _refuse_system(session, name)
    near = difflib.get_close_matches(
        name, [*(index.name for index in indexes), *(index.full_name for index in indexes)]
    )
    hint = f"; near to it: {', '.join(near)}" if near else ""
    raise DatabaseError(f"--index {name}: {session.database} has no index of this name{hint}")


def of_table(session: Session, name: str, indexes: list[Index]) -> list[Index]:
    """All indexes of a table."""
    found = [index for index in indexes if name in (index.table, index.full_table)]
    tables = sorted({index.full_table for index in found})
    if len(tables) > 1:
        raise DatabaseError(f"--table {name} is ambiguous: {', '.join(tables)}")
    if not found:
        _refuse_system(session, name)
        near = difflib.get_close_matches(name, sorted({index.table for index in indexes}))
        hint = f"; near to it: {', '.join(near)}" if near else ""
        raise DatabaseError(
            f"--table {name}: {session.database} has no table of this name with an index{hint}"
        )
    return found


def _refuse_system(session: Session, name: str) -> None:
    schema, _, last = name.rpartition(".")
    if found := session.rows(SYSTEM_OBJECT, {"name": last, "schema": schema}):
        raise DatabaseError(
            f"{found[0]['name']} is a system catalog's, which PostgreSQL does not rebuild concurrently: in a window"
            f" without users, REINDEX SYSTEM {session.database} as postgres"
        )


def check_room(session: Session, candidate: Candidate, options: argparse.Namespace) -> None:
    """Refuse a rebuild for which there may be no room."""
    index, reserve = candidate.index, options.reserve
    if options.free_space is not None:
        # Index, WAL and the sort's files, as far as anybody can say from here.
        if options.free_space - 3 * index.size < reserve:
            candidate.refused = (
                f"--free-space {size_text(options.free_space)} is not enough: it may need {size_text(3 * index.size)},"
                f" and {size_text(reserve)} have to stay"
            )
        return
    rooms = lacking_room(session, index, reserve)
    if rooms is None:
        candidate.refused = (
            "free space cannot be seen from here: run it on the database host through the socket, or say with"
            " --free-space how much there is"
        )
    elif rooms:
        candidate.refused = f"no room: {room_text(rooms, reserve)} (--reserve)"


def work(
    session: Session, candidates: list[Candidate], rebuilder: Rebuilder, options: argparse.Namespace
) -> None:
    """Rebuild one after the other, and measure each again."""
    schema = pgstattuple_schema(session)
    for candidate in candidates:
        if not candidate.refused:
            check_room(session, candidate, options)
        if candidate.refused:
            continue
        index = candidate.index
        rebuilder.tell(f"{index.full_name}: rebuilding {size_text(index.size)}")
        began = time.monotonic()
        try:
            done = rebuilder.rebuild(index)
        except InterruptedRunError:
            candidate.problem = "interrupted; the index is as it was"
            raise
        candidate.seconds = time.monotonic() - began
        candidate.attempts, candidate.problem = done.attempts, done.problem
        if done.problem:
            continue
        # It has another number now.
        after = next((one for one in read_indexes(session) if one.full_name == index.full_name), None)
        if after is None:
            candidate.problem = "somebody dropped or renamed it after the rebuild"
            continue
        candidate.size_after, candidate.bloat_after = after.size, measure(session, after, schema)
        rebuilder.tell(
            f"{index.full_name}: {size_text(index.size)} → {size_text(after.size)} in {time_text(candidate.seconds)}"
        )


def add_results(
    report: Report, session: Session, candidates: list[Candidate], options: argparse.Namespace
) -> None:
    """Findings, figures and the table."""
    for candidate in candidates:
        index = candidate.index
        labels = {"database": session.database, **index.labels}
        if candidate.refused:
            report.add("warning", index.full_name, f"is not rebuilt: {candidate.refused}")
        elif candidate.problem:
            report.add(
                "critical",
                index.full_name,
                f"was not rebuilt: {candidate.problem}",
                "the index is as it was; see --help for what to do about locks",
            )
        elif candidate.attempts:
            report.add(
                "ok",
                index.full_name,
                f"rebuilt in {time_text(candidate.seconds or 0)}: {size_text(index.size)} →"
                f" {size_text(candidate.size_after or 0)}, bloat {_percent(candidate.bloat)} →"
                f" {_percent(candidate.bloat_after)}",
            )
        elif options.dry_run:
            report.add(
                "ok",
                index.full_name,
                f"would be rebuilt: {size_text(index.size)}, {_percent(candidate.bloat)}",
            )
        for when, size, bloat in (
            ("before", index.size, candidate.bloat),
            ("after", candidate.size_after, candidate.bloat_after),
        ):
            if size is not None:
                help_text = "Size of an index before and after its rebuild, in bytes."
                report.metric("database_reindex_size_bytes", size, help_text, {**labels, "when": when})
            if bloat is not None:
                help_text = "Share of an index that a rebuild would give back, before and after it."
                report.metric(
                    "database_reindex_bloat_ratio",
                    bloat.percent / 100,
                    help_text,
                    {**labels, "when": when, "method": bloat.method},
                )
        if candidate.seconds is not None:
            report.metric(
                "database_reindex_seconds", candidate.seconds, "Seconds that a rebuild took.", labels
            )
    if not candidates:
        report.add(
            "ok",
            "indexes",
            f"none of {size_text(options.bloat_size)} or more has {options.bloat:.0f} % bloat: nothing to rebuild",
        )
    report.add_table(
        "Indexes",
        (
            "index",
            "table",
            "outcome",
            "size",
            "size after",
            "bloat %",
            "bloat % after",
            "by",
            "attempts",
            "took",
        ),
        [
            (
                one.index.full_name,
                one.index.table,
                "would be rebuilt" if options.dry_run and not one.refused else one.outcome,
                Bytes(one.index.size),
                None if one.size_after is None else Bytes(one.size_after),
                one.bloat.percent if one.bloat else None,
                one.bloat_after.percent if one.bloat_after else None,
                one.bloat.method if one.bloat else None,
                one.attempts,
                None if one.seconds is None else Seconds(one.seconds),
            )
            for one in candidates
        ],
    )
    outcomes = [one.outcome for one in candidates]
    for outcome in ("rebuilt", "failed", "refused", "not begun"):
        report.metric(
            "database_reindex_indexes",
            outcomes.count(outcome),
            "Indexes of the last run by outcome.",
            {"database": session.database, "outcome": outcome},
        )
    report.metric(
        "database_reindex_last_run_timestamp_seconds",
        time.time(),
        "When reindex ended last, in seconds since 1970.",
        {"database": session.database},
    )


def _percent(bloat: Bloat | None) -> str:
    return "of unknown bloat" if bloat is None else f"{bloat.percent:.0f} % ({bloat.method})"


def run(session: Session, options: argparse.Namespace) -> Report:
    """The whole of it, with the lock held."""
    report = Report(f"Reindex of {session.database}" + (" (dry run)" if options.dry_run else ""))
    interruption = Interruption(session.connection)
    rebuilder = Rebuilder(
        session, interruption, options.attempts, options.lock_timeout, options.backoff, _teller(options)
    )
    candidates: list[Candidate] = []
    if options.dry_run:
        for leftover, origin in find_leftovers(session):
            report.add(
                "ok", leftover.full_name, f"would be dropped: a rebuild of {origin.full_name} was killed"
            )
        candidates = choose(session, options, pgstattuple_schema(session))
        for candidate in candidates:
            if not candidate.refused:
                check_room(session, candidate, options)
        add_results(report, session, candidates, options)
        return report
    with interruption.caught(), only_run(session):
        try:
            rebuilder.drop_leftovers()
            interruption.check()
            candidates = choose(session, options, pgstattuple_schema(session))
            work(session, candidates, rebuilder, options)
        except (InterruptedRunError, psycopg.errors.QueryCanceled):
            if not interruption.name:
                raise
            report.add(
                "critical", "reindex", f"stopped by {interruption.name}", "run it again: it goes on from here"
            )
        for problem in rebuilder.drop_leftovers_after_signal():
            report.add(
                "critical",
                "leftover",
                problem,
                "it slows writes down and nothing else; the next run drops it",
            )
    add_results(report, session, candidates, options)
    return report


def _teller(options: argparse.Namespace) -> Callable[[str], None]:
    """Progress goes to standard error: a rebuild takes minutes, and the journal is to have it."""

    def tell(message: str) -> None:
        if not options.quiet:
            print(message, file=sys.stderr, flush=True)

    return tell


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="bundle-reindex",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output_options(made)
    made.add_argument("--dry-run", "-n", action="store_true", help="say what would be done, and do nothing")
    made.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")
    group = made.add_argument_group("what to rebuild")
    group.add_argument(
        "--index", "-i", action="append", default=[], metavar="NAME", help="this index; may be repeated"
    )
    group.add_argument(
        "--table",
        "-t",
        action="append",
        default=[],
        metavar="NAME",
        help="all indexes of this table; may be repeated",
    )
    group.add_argument(
        "--bloat",
        type=argument(parse_percent),
        default=BLOAT_PERCENT,
        metavar="PERCENT",
        help="without names: indexes with this much bloat or more (default: 40%%)",
    )
    group.add_argument(
        "--bloat-size",
        type=size_argument,
        default=BLOAT_SIZE,
        metavar="SIZE",
        help="without names: indexes of this size or more (default: 10MB)",
    )
    group = made.add_argument_group("locks and room")
    group.add_argument(
        "--lock-timeout",
        type=time_argument,
        default=120.0,
        metavar="TIME",
        help="how long to wait for open transactions (default: 2min); nobody waits behind it meanwhile",
    )
    group.add_argument(
        "--attempts",
        type=argument(_attempts),
        default=3,
        metavar="N",
        help="attempts for each index (default: 3)",
    )
    group.add_argument(
        "--backoff",
        type=time_argument,
        default=30.0,
        metavar="TIME",
        help="pause before the second attempt, twice as long before each further one (default: 30s)",
    )
    group.add_argument(
        "--reserve",
        type=size_argument,
        default=1024**3,
        metavar="SIZE",
        help="what has to stay free on each file system (default: 1GB)",
    )
    group.add_argument(
        "--free-space",
        type=size_argument,
        metavar="SIZE",
        help="how much is free, where that cannot be seen from here",
    )
    add_connection_options(made)
    return made


def _attempts(text: str) -> int:
    count = int(parse_number(text))
    if count < 1:
        raise ValueError(f"{text!r} attempts rebuild nothing: give 1 or more")
    return count


def main(argv: list[str] | None = None) -> int:
    """Rebuild, say what was done, and return the exit status."""
    options = parser().parse_args(argv)
    try:
        with connect(options, "reindex", read_only=options.dry_run) as session:
            if session.row("SELECT pg_is_in_recovery() AS standby")["standby"]:
                raise DatabaseError("this is a standby, which has the indexes of its primary: run it there")
            # If this process is killed, the server is not to go on for hours without anybody who cleans up.
            session.set("client_connection_check_interval", "2s")
            session.set("statement_timeout", "0")
            report = run(session, options)
    except (DatabaseError, psycopg.Error) as error:
        return failed("Reindex", error, options)
    return deliver(report, options)


if __name__ == "__main__":
    sys.exit(main())
