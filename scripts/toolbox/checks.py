"""Checks as data: what each looks at, its limits, what to do; and how a command runs the chosen ones."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from toolbox.database import DatabaseError, Session
from toolbox.output import EXIT_STATUS_HELP, LEVELS, Metric, Report, add_format_option, write_metrics
from toolbox.quantities import Limits, parse_size, parse_time

UP_HELP = "Whether the database could be asked."


@dataclass
class Look:
    """What a check gets: where to ask, what its limits are, and where to say what it found."""

    session: Session
    report: Report
    options: argparse.Namespace
    check: Check
    # What was read for all checks at once.
    facts: Any = None

    @property
    def limits(self) -> Limits:
        """The limits, as the options changed them."""
        found = getattr(self.options, attribute(self.check.name))
        assert isinstance(found, Limits)
        return found

    def say(self, level: str, message: str, subject: str = "", advice: str | None = None) -> None:
        """Note a finding; the check's advice goes with what is not well."""
        if advice is None:
            advice = self.check.advice if level != "ok" else ""
        self.report.add(level, f"{self.check.name} {subject}".strip(), message, advice)

    def judge(self, value: float, message: str, subject: str = "") -> str:
        """Note a finding with the level of a value by the check's limits, and return it."""
        level = self.limits.level(value)
        self.say(level, message if level == "ok" else f"{message} ({self.limits.text})", subject)
        return level

    def measure(self, name: str, value: float, help_text: str, **labels: str) -> None:
        """Note a figure. Every name begins with database_ and has the database as label."""
        whole = {"database": self.session.database, **labels}
        self.report.metrics.append(Metric(f"database_{name}", float(value), help_text, whole))


@dataclass(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    looks_at: str
    advice: str
    run: Callable[[Look], None]
    limits: Limits | None = None
    # What the limits are held against.
    value: str = ""


def attribute(name: str) -> str:
    """The name under which argparse keeps the limits of a check."""
    return name.replace("-", "_") + "_limits"


def make_parser(
    prog: str, description: str, checks: Sequence[Check], examples: str
) -> argparse.ArgumentParser:
    """A parser whose --help teaches: every check with its meaning, its limits and what to do."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n\n".join([_explained(checks), f"examples:\n{examples.rstrip()}", EXIT_STATUS_HELP]),
    )
    add_output_options(parser)
    names = [check.name for check in checks]
    parser.add_argument("--only", type=_names(names), metavar="CHECK,…", help="only these checks")
    parser.add_argument("--skip", type=_names(names), default=[], metavar="CHECK,…", help="not these checks")
    group = parser.add_argument_group(
        "limits",
        "WARNING,CRITICAL of each check, with units (500ms 30s 5min 2h 7d, 10MB 2GB); never for none: 80,never",
    )
    for check in checks:
        if check.limits:
            group.add_argument(
                f"--{check.name}",
                dest=attribute(check.name),
                type=argument(check.limits.parse),
                default=check.limits,
                metavar="W,C",
                help=f"{check.value} (default: {check.limits.text})".replace("%", "%%"),
            )
    return parser


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """--format, and a file for node_exporter beside it."""
    add_format_option(parser)
    parser.add_argument(
        "--metrics-file",
        type=Path,
        metavar="FILE",
        help="also write the figures for Prometheus there, for instance"
        " /var/lib/prometheus/node-exporter/NAME.prom",
    )


Value = TypeVar("Value")


def argument(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A parser for argparse, which shows the message of an ArgumentTypeError only."""

    def parsed(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def size_argument(text: str) -> int:
    """A size, for argparse."""
    return argument(parse_size)(text)


def time_argument(text: str) -> float:
    """A time, for argparse."""
    return argument(parse_time)(text)


def run_checks(
    checks: Iterable[Check],
    session: Session,
    report: Report,
    options: argparse.Namespace,
    facts: Any = None,
) -> None:
    """The chosen checks, each for itself: what one may not read does not keep the others from looking."""
    for check in chosen(checks, options):
        look = Look(session, report, options, check, facts)
        before = len(report.findings)
        try:
            check.run(look)
        except psycopg.errors.InsufficientPrivilege as error:
            look.say("critical", f"may not look: {_first_line(error)}", advice="GRANT pg_monitor TO the role")
        except psycopg.OperationalError as error:
            if session.connection.closed:
                raise DatabaseError(f"the connection was lost: {_first_line(error)}") from error
            look.say("critical", f"could not look: {_first_line(error)}", advice="run it again")
        except psycopg.Error as error:
            look.say("critical", f"could not look: {_first_line(error)}", advice="")
        level = max((found.level for found in report.findings[before:]), key=LEVELS.index, default="ok")
        look.measure(
            "check_level",
            LEVELS.index(level),
            "Outcome of a check: 0 ok, 1 warning, 2 critical.",
            check=check.name,
        )


def chosen(checks: Iterable[Check], options: argparse.Namespace) -> list[Check]:
    """The checks that --only and --skip leave."""
    return [
        check
        for check in checks
        if (not options.only or check.name in options.only) and check.name not in options.skip
    ]


def deliver(report: Report, options: argparse.Namespace) -> int:
    """Print the report, write the file for Prometheus if one is wanted, and return the exit status."""
    print(report.render(options.format))
    if options.metrics_file:
        try:
            write_metrics(options.metrics_file, report.metrics)
        except OSError as error:
            print(f"cannot write {options.metrics_file}: {error.strerror}", file=sys.stderr)
            return LEVELS.index("critical")
    return report.exit_status


def failed(title: str, problem: Exception, options: argparse.Namespace) -> int:
    """Say in the wanted form that nothing could be looked at: whoever reads JSON gets JSON then, too."""
    report = Report(title)
    report.add("critical", "database", str(problem))
    report.metrics.append(Metric("database_up", 0, UP_HELP))
    return deliver(report, options)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"no check is called {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return argument(parse)


def _explained(checks: Sequence[Check]) -> str:
    """What each check means, for --help."""
    lines = ["checks:"]
    for check in checks:
        lines.append(f"  {check.name}")
        for text in (check.looks_at, f"→ {check.advice}"):
            lines += textwrap.wrap(text, 96, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
