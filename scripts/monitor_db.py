#!/usr/bin/env python3
"""Look at a PostgreSQL server and a database in it: is something wrong at this moment, and what to do about it?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg

sys.path[0] = str(Path(__file__).resolve().parent)

from toolbox import monitor_sessions, monitor_statements, monitor_storage, monitor_wal  # noqa: E402
from toolbox.checks import UP_HELP, argument, deliver, failed, make_parser, run_checks  # noqa: E402
from toolbox.counters import keep_counters, read_counters  # noqa: E402
from toolbox.database import DatabaseError, add_connection_options, connect  # noqa: E402
from toolbox.output import Report, time_text  # noqa: E402
from toolbox.quantities import parse_number  # noqa: E402

CHECKS = [
    *monitor_sessions.CHECKS,
    *monitor_statements.CHECKS,
    *monitor_storage.CHECKS,
    *monitor_wal.CHECKS,
]
EXAMPLES = """\
  bundle-monitor-db                                      on the database host, as root or postgres
  bundle-monitor-db --host db1 --dbname intowork --user intowork_monitor
  bundle-monitor-db --only blocked,long-transactions     in an incident: who holds up whom?
  bundle-monitor-db --connections 70,90 --slow-statements 50ms,1s --temp-files never,never
  bundle-monitor-db --state /var/lib/bundle/monitor.json --format prometheus     every minute, from cron
  bundle-monitor-db --format json | jq -r '.findings[] | select(.level == "critical") | .message'
"""
SERVER = """
SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
       extract(epoch FROM now() - pg_postmaster_start_time())::float8 AS up
"""


def count_argument(text: str) -> int:
    """A whole number."""
    return int(argument(parse_number)(text))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = make_parser("bundle-monitor-db", __doc__ or "", CHECKS, EXAMPLES)
    made.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="where to keep counters until the next run: deadlocks, temporary files and the cache are then judged by"
        " what came in between",
    )
    for name, default, meaning in (
        ("calls", 20, "fewest calls of a statement that is called slow"),
        ("dead-rows-least", 10_000, "fewest dead rows that matter"),
        (
            "cache-hit-blocks",
            monitor_storage.BLOCKS_TO_JUDGE,
            "fewest block reads by which the cache is judged",
        ),
        ("rows", 10, "rows of the tables"),
    ):
        made.add_argument(
            f"--{name}",
            type=count_argument,
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default})",
        )
    add_connection_options(made)
    return made


def main(argv: list[str] | None = None) -> int:
    """Look, say what was found, and return the exit status."""
    options = parser().parse_args(argv)
    try:
        with connect(options, "monitor_db") as session:
            server = session.row(SERVER)
            kind = "standby" if server["standby"] else "server"
            report = Report(
                f"PostgreSQL {server['version'].split()[0]}, {kind} up for {time_text(server['up'])},"
                f" database {session.database}"
            )
            labels = {"database": session.database}
            report.metric("database_up", 1, UP_HELP, labels)
            report.metric(
                "database_uptime_seconds", server["up"], "Seconds since PostgreSQL started.", labels
            )
            counters = read_counters(session, options.state)
            run_checks(CHECKS, session, report, options, counters)
            if options.state:
                keep_counters(counters, session, options.state)
    except (DatabaseError, psycopg.Error) as error:
        return failed("PostgreSQL", error, options)
    except OSError as error:
        return failed("PostgreSQL", DatabaseError(f"cannot write --state {options.state}: {error}"), options)
    return deliver(report, options)


if __name__ == "__main__":
    sys.exit(main())
