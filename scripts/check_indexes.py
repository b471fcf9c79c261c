#!/usr/bin/env python3
"""Look at a database's indexes: missing, invalid, unused, redundant, bloated, and foreign keys without one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import expectations  # noqa: E402  (the path above has to be there first)
from toolbox.checks import (  # noqa: E402
    Check,
    Look,
    argument,
    deliver,
    failed,
    make_parser,
    run_checks,
    size_argument,
    time_argument,
)
from toolbox.database import (  # noqa: E402
    STATEMENT_TIMEOUT,
    DatabaseError,
    Session,
    add_connection_options,
    connect,
)
from toolbox.indexes import (  # noqa: E402
    BLOAT_PERCENT,
    BLOAT_SIZE,
    Bloat,
    Index,
    leftover_of,
    measure,
    pgstattuple_schema,
    read_indexes,
)
from toolbox.output import Bytes, Report, size_text, time_text  # noqa: E402
from toolbox.quantities import Limits  # noqa: E402

MB = 1024 * 1024
EXAMPLES = """\
  bundle-check-indexes                                   on the database host, as root or postgres
  bundle-check-indexes --host db1 --dbname intowork --user intowork_monitor
  bundle-check-indexes --expect expected_indexes.sql     also: is everything there that the product expects?
  ssh DATABASE bundle-check-indexes --expect - < expected_indexes.sql
  bundle-check-indexes --print-expected > FILE           what is there now, as such a file
  bundle-check-indexes --only bloat --bloat 30,60 --bloat-size 100MB
  bundle-check-indexes --accept unused:idx_jobs_old      a finding that you have looked at and want to keep
  bundle-check-indexes --format json | jq '.findings[] | select(.level != "ok")'
"""
# Counters begin anew after a crash, and then the one of the database has no time, but the cluster's have.
STATISTICS_AGE = """
SELECT extract(epoch FROM now() - greatest(d.stats_reset, b.stats_reset))::float8 AS seconds
FROM pg_stat_database d, pg_stat_bgwriter b WHERE d.datname = current_database()
"""
NOT_VALIDATED = """
SELECT format('%I.%I', n.nspname, t.relname) AS "table", o.conname AS name, quote_ident(o.conname) AS quoted
FROM pg_constraint o JOIN pg_class t ON t.oid = o.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE NOT o.convalidated ORDER BY 1, 2
"""
FOREIGN_KEYS = """
SELECT o.conname AS name, o.conrelid AS table_oid, format('%I.%I', n.nspname, t.relname) AS "table",
       array_to_string(o.conkey, ' ') AS columns, pg_table_size(o.conrelid) AS size,
       o.confrelid::regclass::text AS parent,
       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)
        FROM unnest(o.conkey) WITH ORDINALITY k (number, place)
        JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number) AS column_names
FROM pg_constraint o JOIN pg_class t ON t.oid = o.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE o.contype = 'f' AND t.relkind = 'r' ORDER BY 3, 1
"""


@dataclass(frozen=True)
class Facts:
    """What was read once for all checks."""

    indexes: list[Index]
    expectation: expectations.Expectation | None
    accepted: set[tuple[str, str]]
    # By the index's oid; filled by the check.
    bloat: dict[int, Bloat] = field(default_factory=dict)

    def is_pardoned(self, look: Look, name: str) -> bool:
        """Whether somebody looked at this and said that it may stay; it is said all the same."""
        return (look.check.name, name) in self.accepted


def check_expected(look: Look) -> None:
    """What the product's file has and the database has not, or has otherwise."""
    facts: Facts = look.facts
    if facts.expectation is None:
        look.say("ok", "not asked for; give the product's list with --expect")
        return
    present = expectations.read_present(look.session)
    counts = {"missing": 0, "different": 0, "there": 0}
    for wanted in facts.expectation.wanted:
        there = expectations.find(wanted, present)
        where = f" on {wanted.table}" if wanted.table else ""
        if there is None:
            by_hand = wanted.statement.replace("INDEX ", "INDEX CONCURRENTLY ", 1)
            look.say(
                "critical",
                f"{wanted.name}{where} is missing",
                advice=look.check.advice + (f" By hand: {by_hand}" if by_hand else ""),
            )
            counts["missing"] += 1
        elif expectations.differs(wanted, there):
            look.say(
                "warning",
                f"{wanted.name}{where} is not as expected: {there.definition}",
                advice=f"expected is: {wanted.definition}. If yours means the same, put the database's words there.",
            )
            counts["different"] += 1
        else:
            counts["there"] += 1
    whole = len(facts.expectation.wanted)
    look.say("ok", f"{counts['there']} of {whole} expected indexes and constraints are there")
    for state, count in counts.items():
        look.measure("expected_indexes", count, "Expected indexes and constraints by state.", state=state)


def check_invalid(look: Look) -> None:
    """Indexes that cost every write and serve nobody, or do not even keep up."""
    facts: Facts = look.facts
    invalid = [index for index in facts.indexes if not (index.valid and index.ready and index.live)]
    for index in invalid:
        name = f"{index.full_name} on {index.full_table}"
        if index.in_work:
            look.say("ok", f"{name} is being built or dropped by another session")
            continue
        rule = ", so its uniqueness is not enforced" if index.unique and not index.ready else ""
        state = "is invalid" if index.ready else "is invalid and gets no new rows"
        if origin := leftover_of(index, facts.indexes):
            advice = (
                f"it is left from a REINDEX of {origin.full_name} that was killed: bundle-reindex removes it"
            )
        elif index.is_partitioned:
            advice = "a partition lacks its index: make it, then ALTER INDEX … ATTACH PARTITION"
        else:
            by_hand = f"DROP INDEX CONCURRENTLY {index.quoted}"
            advice = f"bundle-reindex --index {index.full_name} builds it anew, or {by_hand}"
        look.say("critical", f"{name} {state}{rule}", advice=advice)
    count = sum(not index.in_work for index in invalid)
    if not count:
        look.say("ok", f"all {len(facts.indexes)} indexes are valid")
    look.measure(
        "invalid_indexes", count, "Indexes that are invalid, not ready or not live, and not in work."
    )


def check_unvalidated(look: Look) -> None:
    """Constraints that hold for new rows only."""
    found = look.session.rows(NOT_VALIDATED)
    for row in found:
        level = "ok" if look.facts.is_pardoned(look, row["name"]) else "warning"
        look.say(
            level,
            f"{row['name']} on {row['table']} was never checked against the rows that were there before",
            advice=f"ALTER TABLE {row['table']} VALIDATE CONSTRAINT {row['quoted']} (writes go on meanwhile)",
        )
    if not found:
        look.say("ok", "all constraints are validated")
    look.measure("unvalidated_constraints", len(found), "Constraints that are NOT VALID.")


def check_unused(look: Look) -> None:
    """Indexes that no query has read since statistics began, if that is long enough."""
    facts: Facts = look.facts
    age = look.session.row(STATISTICS_AGE)["seconds"]
    for index in facts.indexes:
        if index.counted:
            look.measure("index_scans_total", index.scans, "Scans of an index.", **index.labels)
    if age is None or age < look.options.unused_after:
        known = "an unknown time" if age is None else time_text(age)
        look.say(
            "ok",
            f"not judged: statistics go back {known} only, and --unused-after is"
            f" {time_text(look.options.unused_after)}",
        )
        return
    found = [
        index
        for index in facts.indexes
        if index.counted
        and not index.scans
        and index.valid
        # These hold a rule or carry replication, whether or not a query reads them.
        and not (index.unique or index.exclusion or index.constraint_name or index.replica_identity)
        and index.schema != "pg_toast"
        and index.size >= look.options.unused_size
    ]
    for index in found:
        level = "ok" if facts.is_pardoned(look, index.name) else "warning"
        look.say(
            level,
            f"{index.full_name} on {index.full_table} ({size_text(index.size)}) was not read once in"
            f" {time_text(age)}",
            advice=f"{look.check.advice} DROP INDEX CONCURRENTLY {index.quoted}",
        )
    if not found:
        look.say(
            "ok", f"every index of {size_text(look.options.unused_size)} or more was read in {time_text(age)}"
        )
    look.measure("unused_indexes", len(found), "Indexes that no query has read since statistics began.")


def check_redundant(look: Look) -> None:
    """Indexes whose work another one does as well."""
    facts: Facts = look.facts
    found = 0
    for index in facts.indexes:
        better = next((other for other in facts.indexes if _replaces(other, index)), None)
        if better is None:
            continue
        found += 1
        same = "does the same" if better.makes_the_same_as(index) else "begins with the same columns"
        level = "ok" if facts.is_pardoned(look, index.name) else "warning"
        look.say(
            level,
            f"{index.full_name} on {index.full_table} ({size_text(index.size)}) is redundant:"
            f" {better.full_name} {same}",
            advice=f"{look.check.advice} DROP INDEX CONCURRENTLY {index.quoted}",
        )
    if not found:
        look.say("ok", "no index does what another one does")
    look.measure("redundant_indexes", found, "Indexes whose work another index does as well.")


def _replaces(other: Index, index: Index) -> bool:
    """Whether every query and rule that `index` serves is served by `other`."""
    if other.oid == index.oid or other.table_oid != index.table_oid or not (other.valid and index.valid):
        return False
    if index.constraint_name or index.replica_identity or index.exclusion or index.is_partitioned:
        return False
    if other.makes_the_same_as(index):
        if index.unique:
            stands_for_it = other.unique and other.nulls_not_distinct == index.nulls_not_distinct
            return stands_for_it and (bool(other.constraint_name) or other.oid < index.oid)
        # Of two that are alike, the older one stays.
        return other.unique or other.oid < index.oid
    count = index.key_count
    return (
        not index.unique
        and other.method == index.method == "btree"
        and other.keys[:count] == index.keys
        and index.expressions is None
        and index.predicate == other.predicate
        and index.included <= {*other.columns.split()}
    )


def check_foreign_keys(look: Look) -> None:
    """Foreign keys whose columns no index begins with: a delete or key change of the parent reads the whole table."""
    found = 0
    for key in look.session.rows(FOREIGN_KEYS):
        columns = set(key["columns"].split())
        if any(_serves(index, key["table_oid"], columns) for index in look.facts.indexes):
            continue
        if key["size"] < look.options.foreign_key_size:
            continue
        found += 1
        level = "ok" if look.facts.is_pardoned(look, key["name"]) else "warning"
        look.say(
            level,
            f"{key['name']} has no index on {key['table']} ({key['column_names']}), a table of"
            f" {size_text(key['size'])}; each DELETE on {key['parent']} reads all of it",
            advice=f"CREATE INDEX CONCURRENTLY ON {key['table']} ({key['column_names']}), in a migration",
        )
    if not found:
        look.say(
            "ok",
            f"every foreign key of a table of {size_text(look.options.foreign_key_size)} or more has one",
        )
    look.measure(
        "foreign_keys_without_index", found, "Foreign keys without an index, on tables large enough."
    )


def _serves(index: Index, table: int, columns: set[str]) -> bool:
    """Whether the check of a foreign key on these columns can use the index."""
    first = {key[0] for key in index.keys[: len(columns)]}
    whole = index.predicate is None or index.predicate.endswith("IS NOT NULL)")
    usable = index.method in ("btree", "hash") and index.valid and whole
    return index.table_oid == table and usable and first == columns


def check_bloat(look: Look) -> None:
    """How much of each B-tree a rebuild would give back."""
    facts: Facts = look.facts
    facts.bloat.update(_measured(look))
    large = [index for index in facts.indexes if index.size >= look.options.bloat_size]
    level = "ok"
    unknown = []
    for index in large:
        bloat = facts.bloat.get(index.oid)
        if bloat is None:
            unknown.append(index.full_name)
            continue
        look.measure(
            "index_bloat_ratio",
            bloat.percent / 100,
            "Share of an index that a rebuild would give back, from 0 to 1.",
            method=bloat.method,
            **index.labels,
        )
        level = look.limits.level(bloat.percent)
        if level != "ok":
            pardoned = facts.is_pardoned(look, index.name)
            word = "measured by pgstattuple" if bloat.method == "pgstattuple" else "estimated from statistics"
            look.say(
                "ok" if pardoned else level,
                f"{index.full_name} on {index.full_table}: {bloat.percent:.0f} % of {size_text(index.size)}"
                f" is bloat, {word} ({look.limits.text})",
                advice=f"bundle-reindex --index {index.full_name}",
            )
    known = len(large) - len(unknown)
    said = f"looked at {known} of {len(large)} indexes of {size_text(look.options.bloat_size)} or more"
    methods = {bloat.method for bloat in facts.bloat.values()}
    if methods == {"estimate"}:
        said += (
            "; estimated from statistics, which sees too little where many keys are equal: exact with"
            " CREATE EXTENSION pgstattuple"
        )
    if unknown:
        said += f"; cannot be known (no B-tree, or never analyzed): {', '.join(unknown)}"
    look.say("ok", said)


def _measured(look: Look) -> dict[int, Bloat]:
    """The bloat of the indexes that are large enough, by oid."""
    options, session = look.options, look.session
    schema = None if options.bloat_method == "estimate" else pgstattuple_schema(session)
    if schema is None and options.bloat_method == "pgstattuple":
        raise DatabaseError(
            f"--bloat-method pgstattuple: {session.database} has no extension pgstattuple that this role may use:"
            " CREATE EXTENSION pgstattuple, and GRANT pg_stat_scan_tables TO the role"
        )
    # A large index is read for minutes, and nobody waits for that.
    session.set("statement_timeout", "0")
    found = {
        index.oid: measure(session, index, schema)
        for index in look.facts.indexes
        if index.size >= options.bloat_size and not index.in_work
    }
    session.set("statement_timeout", STATEMENT_TIMEOUT)
    return {oid: bloat for oid, bloat in found.items() if bloat}


CHECKS = [
    Check(
        "expected",
        "With --expect FILE: is every index and constraint there that the product's own list has, with that"
        " definition? A missing unique index is a rule that nobody enforces.",
        "A migration has not run, or somebody dropped it: deploy the release (site.yml).",
        check_expected,
    ),
    Check(
        "invalid",
        "Indexes that pg_index calls invalid or not ready: a CREATE or REINDEX … CONCURRENTLY failed midway. They"
        " slow every write down and serve no query, and IF NOT EXISTS keeps them.",
        "bundle-reindex removes what a killed REINDEX left; --index NAME builds a named one anew.",
        check_invalid,
    ),
    Check(
        "unvalidated",
        "Constraints that are NOT VALID: rows from before may break them.",
        "ALTER TABLE … VALIDATE CONSTRAINT …",
        check_unvalidated,
    ),
    Check(
        "unused",
        "Indexes without a rule behind them that no query has read since statistics began. Standbys have counters of"
        " their own: look there too.",
        "Be sure that no monthly job needs it, then drop it in a migration:",
        check_unused,
    ),
    Check(
        "redundant",
        "Indexes that equal another one, or are the beginning of its columns.",
        "Drop it in a migration:",
        check_redundant,
    ),
    Check(
        "foreign-keys",
        "Foreign keys whose columns no index begins with, on tables above --foreign-key-size.",
        "Make an index in a migration, with CONCURRENTLY.",
        check_foreign_keys,
    ),
    Check(
        "bloat",
        "How much of a B-tree is empty pages and half-empty leaves beyond its fillfactor: measured by pgstatindex where"
        " the extension pgstattuple is, otherwise estimated from statistics; the output says which. About 23 % is"
        " normal for an index that grows at random places.",
        "bundle-reindex rebuilds it while writes go on.",
        check_bloat,
        Limits(BLOAT_PERCENT, 80, "percent"),
        "share of an index that a rebuild would give back",
    ),
]


def gather(session: Session, options: argparse.Namespace) -> Facts:
    """Read what the checks need."""
    expectation = expectations.read_expectation(options.expect) if options.expect else None
    accepted = set(options.accept) | (expectation.accepted if expectation else set())
    return Facts(read_indexes(session), expectation, accepted)


def add_overview(report: Report, session: Session, facts: Facts, rows: int) -> None:
    """The largest indexes."""
    largest = sorted(facts.indexes, key=lambda index: -index.size)[:rows]
    report.add_table(
        f"The {len(largest)} largest of {len(facts.indexes)} indexes",
        ("index", "table", "size", "scans", "bloat %", "by"),
        [
            (
                index.full_name,
                index.table,
                Bytes(index.size),
                index.scans,
                *_bloat_cells(facts.bloat.get(index.oid)),
            )
            for index in largest
        ],
    )
    for index in largest:
        report.metric(
            "database_index_size_bytes",
            index.size,
            "Size of an index.",
            {"database": session.database, **index.labels},
        )


def _bloat_cells(bloat: Bloat | None) -> tuple[float | None, str | None]:
    return (bloat.percent, bloat.method) if bloat else (None, None)


def accepted_finding(text: str) -> tuple[str, str]:
    """CHECK:NAME."""
    check, _, name = text.partition(":")
    known = [each.name for each in CHECKS]
    if check not in known or not name:
        raise ValueError(
            f"{text!r} is not CHECK:NAME with one of {', '.join(known)}, like unused:idx_jobs_title"
        )
    return check, name


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = make_parser("bundle-check-indexes", __doc__ or "", CHECKS, EXAMPLES)
    made.add_argument(
        "--expect", type=Path, metavar="FILE", help="the product's list of indexes and constraints"
    )
    made.add_argument(
        "--print-expected", action="store_true", help="print what is there as such a list, and no more"
    )
    made.add_argument(
        "--accept",
        action="append",
        default=[],
        type=argument(accepted_finding),
        metavar="CHECK:NAME",
        help="a finding that is no warning to you; may be given more than once",
    )
    for name, default, meaning in (
        ("unused-size", MB, "smallest index that is called unused (default: 1MB)"),
        ("foreign-key-size", MB, "smallest table whose foreign keys need an index (default: 1MB)"),
        ("bloat-size", BLOAT_SIZE, "smallest index whose bloat matters (default: 10MB)"),
    ):
        made.add_argument(f"--{name}", type=size_argument, default=default, metavar="SIZE", help=meaning)
    made.add_argument(
        "--unused-after",
        type=time_argument,
        default=7 * 86400.0,
        metavar="TIME",
        help="how far back statistics have to go before an index is called unused (default: 7d)",
    )
    made.add_argument(
        "--bloat-method",
        choices=("auto", "pgstattuple", "estimate"),
        default="auto",
        help="pgstattuple reads whole indexes, which is work for the disk; estimate reads statistics only (default:"
        " auto, pgstattuple where it is)",
    )
    made.add_argument(
        "--rows", type=int, default=20, metavar="N", help="rows of the table of sizes (default: 20)"
    )
    add_connection_options(made)
    return made


def main(argv: list[str] | None = None) -> int:
    """Look, say what was found, and return the exit status."""
    options = parser().parse_args(argv)
    try:
        with connect(options, "check_indexes") as session:
            if options.print_expected:
                lines = [one.statement for one in expectations.read_present(session)]
                print(expectations.HEADER + "\n".join(lines))
                return 0
            report = Report(f"Indexes of {session.database}")
            facts = gather(session, options)
            run_checks(CHECKS, session, report, options, facts)
            add_overview(report, session, facts, options.rows)
    except (DatabaseError, psycopg.Error) as error:
        return failed("Indexes", error, options)
    return deliver(report, options)


if __name__ == "__main__":
    sys.exit(main())
