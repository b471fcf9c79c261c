"""What is done from time to time: `python -m app.cli housekeeping --help`.

Small batches, each a transaction of its own, so that nobody waits for them and any of them may be killed. A
batch takes an advisory lock of its transaction, which works behind pgBouncer in transaction mode too: of two
hosts that begin at once, one works and the other has nothing to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from typing import Any, NamedTuple

import psycopg

from app.attempts import MAX_SECONDS
from app.database import connection_parameters
from app.settings import Settings

ROWS_PER_BATCH = 1_000
# The first of two numbers of an advisory lock; a task's own number is the second.
LOCKS = 7_302_027
ARCHIVED_AFTER_DAYS = 90


class BusyError(Exception):
    """Somebody else does this task now."""


class Step(NamedTuple):
    """One statement, repeated until it finds less than a whole batch.

    It has the parameters `rows` (at most) and `after` (the highest number of the batch before), and returns a
    number for each row that it dealt with.
    """

    what: str
    statement: str


class Task(NamedTuple):
    """Steps that belong together, and the number of their lock."""

    number: int
    help: str
    steps: tuple[Step, ...]


def _delete(table: str, key: str, condition: str, order: str) -> Step:
    return Step(
        table,
        f"""
        DELETE FROM {table} WHERE {key} IN (
            SELECT {key} FROM {table} WHERE {condition}
            ORDER BY {order} LIMIT %(rows)s FOR UPDATE SKIP LOCKED)
        RETURNING 0""",  # noqa: S608 - literals of this file
    )


ARCHIVE = f"""
WITH old AS (
    SELECT id FROM notifications
    WHERE id > %(after)s AND is_read
        AND coalesce(read_at, created_at) < now() - interval '{ARCHIVED_AFTER_DAYS} days'
    ORDER BY id LIMIT %(rows)s FOR UPDATE SKIP LOCKED
), moved AS (
    DELETE FROM notifications USING old WHERE notifications.id = old.id RETURNING notifications.*
)
INSERT INTO notifications_archive (
    id, user_id, type, title, message, related_job_id, related_application_id, is_read, read_at, created_at)
SELECT id, user_id, type, title, message, related_job_id, related_application_id, is_read, read_at, created_at
FROM moved RETURNING id
"""  # noqa: S608 - a number of this file

CLOSE = """
UPDATE jobs SET status = 'closed', updated_at = now() WHERE id IN (
    SELECT id FROM jobs WHERE id > %(after)s AND status = 'published' AND expires_at < now()
    ORDER BY id LIMIT %(rows)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""

TASKS = {
    "sessions": Task(
        1,
        "delete expired sessions and single-use tokens, and rate limits whose window is over",
        (
            _delete("sessions", "id", "expires < now()", "expires"),
            _delete("password_reset_tokens", "id", "expires_at < now()", "expires_at"),
            _delete("verification_tokens", "id", "expires < now()", "expires"),
            _delete(
                "rate_limits",
                "key",
                # No window is longer.
                f"window_start < now() - make_interval(secs => {MAX_SECONDS})",
                "window_start",
            ),
        ),
    ),
    "notifications-archive": Task(
        2,
        f"move notifications that were read {ARCHIVED_AFTER_DAYS} days ago to the archive",
        (Step("notifications", ARCHIVE),),
    ),
    "statistics": Task(
        3,
        "count the statistics of employers anew",
        (Step("views", "SELECT 0 FROM refresh_employer_job_statistics()"),),
    ),
    "expired-jobs": Task(4, "close published jobs whose last day is over", (Step("jobs", CLOSE),)),
}


def work(connection: psycopg.Connection[Any], task: Task, rows: int = ROWS_PER_BATCH) -> Counter[str]:
    """Do one task. Run again, it goes on where a killed run ended, and does nothing when all is done.

    Args:
        connection: in autocommit.
        task: one of `TASKS`.
        rows: at most so many in a batch.

    Returns:
        The number of rows dealt with, by step.

    Raises:
        BusyError: somebody else does the task; what was done before is done.
        psycopg.Error: the batch that it stopped at was rolled back.
    """
    done: Counter[str] = Counter()
    for step in task.steps:
        done[step.what] = 0
        after, found = 0, rows
        while found == rows:
            with connection.transaction():
                _take_lock(connection, task)
                numbers = connection.execute(
                    step.statement.encode(), {"rows": rows, "after": after}
                ).fetchall()
            found = len(numbers)
            after = max((number for (number,) in numbers), default=after)
            done[step.what] += found
    return done


def _take_lock(connection: psycopg.Connection[Any], task: Task) -> None:
    # The audit trail shows who it was.
    taken = connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s, %s), set_config('app.request_id', 'housekeeping', true)",
        (LOCKS, task.number),
    ).fetchone()
    if taken is None or not taken[0]:
        raise BusyError


def add_to(commands: Any) -> None:
    """Add the command to the parsers of `commands`."""
    command: argparse.ArgumentParser = commands.add_parser(
        "housekeeping",
        help="do what is done from time to time",
        description="Do tasks one after the other and print the number of rows of each, a line of JSON.",
        epilog=" ".join(f"{name}: {task.help}." for name, task in TASKS.items()),
    )
    command.add_argument("tasks", nargs="+", choices=[*TASKS], metavar="TASK", help=", ".join(TASKS))
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Do the tasks; one that fails leaves the others to be done. Returns 0, or 1 when one failed."""
    report: dict[str, dict[str, int] | str] = {}
    status = 0
    with psycopg.connect(
        **connection_parameters(settings.url),
        connect_timeout=5,
        autocommit=True,
        application_name="intowork-housekeeping",
    ) as connection:
        for name in arguments.tasks:
            try:
                report[name] = work(connection, TASKS[name])
            except BusyError:
                report[name] = "somebody else does it now"
            except psycopg.Error as error:
                report[name] = "failed"
                # The lines after the first may quote a row.
                print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
                status = 1
    print(json.dumps(report))
    return status
