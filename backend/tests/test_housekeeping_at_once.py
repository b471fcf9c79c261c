"""`housekeeping` beside others: another host that does the same, rows in use, a database that says no."""

from __future__ import annotations

import json
import threading

import psycopg
import pytest

from app.housekeeping import TASKS, BusyError, work
from harness.cluster import Database
from harness.commands import command
from harness.house import READ_LONG_AGO, expired_sessions, house, notifications
from harness.pooler import Pooler


@pytest.mark.parametrize("task", TASKS)
def test_task_that_somebody_else_does_is_left_to_them(database: Database, pooler: Pooler, task: str) -> None:
    expired_sessions(database, 3)
    with database.connect("app") as somebody, somebody.transaction():
        somebody.execute("SELECT pg_advisory_xact_lock(7302027, %s)", (TASKS[task].number,))
        found = house(database, *TASKS, url=database.url("app", pooler.host, pooler.port))
    assert [name for name, done in found.items() if done == "somebody else does it now"] == [task]
    assert database.rows("SELECT count(*) FROM sessions") == [(3 if task == "sessions" else 0,)]


def test_two_at_once_archive_each_notification_once(database: Database) -> None:
    numbers = notifications(database, 60)
    with database.connect() as connection:
        connection.execute(READ_LONG_AGO, (numbers,))
    begin = threading.Barrier(2)
    errors: list[Exception] = []

    def archive() -> None:
        with database.connect("app") as connection:
            begin.wait()
            try:
                work(connection, TASKS["notifications-archive"], rows=2)
            except BusyError:
                pass
            except psycopg.Error as error:
                errors.append(error)

    both = [threading.Thread(target=archive) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert errors == []
    # One of them may stop for the other; the other goes on to the end.
    assert database.rows("SELECT id FROM notifications_archive ORDER BY id") == [(n,) for n in numbers]
    assert database.rows("SELECT FROM notifications") == []


def test_row_that_somebody_uses_is_left_for_the_next_time(database: Database) -> None:
    expired_sessions(database, 3)
    with database.connect("app") as somebody, somebody.transaction():
        somebody.execute("SELECT FROM sessions WHERE session_token = '2' FOR UPDATE")
        assert house(database, "sessions")["sessions"]["sessions"] == 2
    assert house(database, "sessions")["sessions"]["sessions"] == 1


def test_task_that_fails_leaves_the_others_to_be_done(database: Database) -> None:
    expired_sessions(database, 3)
    database.run("DROP FUNCTION refresh_employer_job_statistics()")
    done = command(database, "housekeeping", "statistics", "sessions")
    assert done.returncode == 1
    assert json.loads(done.stdout)["statistics"] == "failed"
    assert json.loads(done.stdout)["sessions"]["sessions"] == 3
    assert done.stderr == "statistics: function refresh_employer_job_statistics() does not exist\n"


def test_statement_ends_at_the_limit_of_the_role(database: Database) -> None:
    database.run(
        f"ALTER ROLE {database.cluster.role('app')} IN DATABASE {database.name} SET statement_timeout = 300"
    )
    with database.connect() as somebody, somebody.transaction():
        somebody.execute("LOCK TABLE sessions")
        done = command(database, "housekeeping", "sessions")
    assert done.returncode == 1
    assert done.stderr == "sessions: canceling statement due to statement timeout\n"


def test_database_that_cannot_be_reached_is_an_error(database: Database) -> None:
    done = command(database, "housekeeping", "sessions", url=database.url("app", port=1))
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot use the database of DATABASE_URL" in done.stderr


def test_unknown_task_is_refused_with_the_names_of_those_that_there_are(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(database, "housekeeping", "windows")
    assert ended.value.code == 2
