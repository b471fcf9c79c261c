"""`housekeeping`: what is over goes, and what is not stays."""

from __future__ import annotations

import pytest

from app.housekeeping import TASKS, work
from harness.cluster import Database
from harness.house import READ_LONG_AGO, expired_sessions, house, notifications
from harness.pooler import Pooler
from harness.rows import Rows

# What of a table is over, and what just is not.
OVER: dict[str, tuple[str, str, str]] = {
    "sessions": ("expires", "now() - interval '1 second'", "now() + interval '1 minute'"),
    "password_reset_tokens": ("expires_at", "now() - interval '1 second'", "now() + interval '1 minute'"),
    "verification_tokens": ("expires", "now() - interval '1 second'", "now() + interval '1 minute'"),
    "rate_limits": ("window_start", "now() - interval '25 hours'", "now() - interval '23 hours'"),
}
OTHER_COLUMNS = {
    "sessions": ("user_id, session_token", "1, '{}'"),
    "password_reset_tokens": ("user_id, token, used_at", "1, '{}', now()"),
    "verification_tokens": ("identifier, token", "'a@example.com', '{}'"),
    "rate_limits": ("key, hits", "'{}', 3"),
}


def add(database: Database, table: str, name: str, time: str) -> None:
    column, *_ = OVER[table]
    columns, values = OTHER_COLUMNS[table]
    database.run(f"INSERT INTO {table} ({columns}, {column}) VALUES ({values.format(name)}, {time})")


@pytest.fixture
def with_user(database: Database) -> Database:
    """A database with the user 1."""
    with database.connect("app") as connection:
        assert Rows(connection).user("candidate") == 1
    return database


@pytest.mark.parametrize("table", OVER)
def test_what_is_over_goes_and_the_rest_stays(with_user: Database, table: str) -> None:
    _, over, lasting = OVER[table]
    add(with_user, table, "over", over)
    add(with_user, table, "lasting", lasting)
    assert house(with_user, "sessions")["sessions"] == {**dict.fromkeys(OVER, 0), table: 1}
    ((left,),) = with_user.rows(f"SELECT to_jsonb(t)::text FROM {table} t")
    assert '"lasting"' in left


def test_all_batches_are_done(database: Database) -> None:
    expired_sessions(database, 11)
    with database.connect("app") as connection:
        assert work(connection, TASKS["sessions"], rows=5)["sessions"] == 11
    assert database.rows("SELECT FROM sessions") == []


def test_notification_read_long_ago_is_in_the_archive_as_it_was(database: Database) -> None:
    old, recent = notifications(database, 2)
    with database.connect() as connection:
        connection.execute(READ_LONG_AGO, ([old],))
    columns = "id, user_id, type, title, message, related_job_id, related_application_id, is_read, read_at"
    before = database.rows(f"SELECT {columns}, created_at FROM notifications WHERE id = %s", old)
    assert house(database, "notifications-archive") == {"notifications-archive": {"notifications": 1}}
    assert database.rows(f"SELECT {columns}, created_at FROM notifications_archive") == before
    assert database.rows("SELECT id FROM notifications") == [(recent,)]


@pytest.mark.parametrize(
    ("is_read", "read_at", "created_at", "goes"),
    [
        (True, "91 days", "92 days", True),
        (True, "89 days", "900 days", False),
        (True, None, "91 days", True),
        (True, None, "89 days", False),
        (False, None, "900 days", False),
    ],
)
def test_only_what_was_read_ninety_days_ago_is_archived(
    database: Database, is_read: bool, read_at: str | None, created_at: str, goes: bool
) -> None:
    (number,) = notifications(database, 1)
    with database.connect() as connection:
        connection.execute(
            "UPDATE notifications SET is_read = %s, read_at = now() - %s::interval,"
            " created_at = now() - %s::interval",
            (is_read, read_at, created_at),
        )
    house(database, "notifications-archive")
    assert database.rows("SELECT id FROM notifications_archive") == ([(number,)] if goes else [])
    assert database.rows("SELECT id FROM notifications") == ([] if goes else [(number,)])


@pytest.mark.parametrize(
    ("status", "expires", "after"),
    [
        ("published", "now() - interval '1 second'", "closed"),
        ("published", "now() + interval '1 minute'", "published"),
        ("published", "NULL", "published"),
        ("draft", "now() - interval '1 second'", "draft"),
        ("archived", "now() - interval '1 second'", "archived"),
    ],
)
def test_published_job_is_closed_when_its_last_day_is_over(
    database: Database, status: str, expires: str, after: str
) -> None:
    with database.connect("app") as connection:
        job = Rows(connection).job(status=status, posted_at="2020-01-01")
    database.run(f"UPDATE jobs SET expires_at = {expires}")
    assert house(database, "expired-jobs") == {"expired-jobs": {"jobs": int(after != status)}}
    assert database.rows("SELECT id, status FROM jobs") == [(job, after)]


def test_audit_trail_shows_that_housekeeping_closed_a_job(database: Database) -> None:
    with database.connect("app") as connection:
        job = Rows(connection).job(posted_at="2020-01-01", expires_at="2020-02-01")
    house(database, "expired-jobs")
    trail = "SELECT action, actor_id, request_id, changed ->> 'status' FROM audit_trail('jobs', %s, 10)"
    assert database.rows(trail, job) == [("update", None, "housekeeping", '["published", "closed"]')]


def test_statistics_are_counted_anew(database: Database) -> None:
    with database.connect("app") as connection:
        employer = Rows(connection).employer().profile_id
        Rows(connection).job(employer_id=employer)
    count = "SELECT jobs FROM employer_job_statistics WHERE employer_id = %s"
    assert database.rows(count, employer) == []
    assert house(database, "statistics") == {"statistics": {"views": 1}}
    assert database.rows(count, employer) == [(1,)]


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_left_to_do_the_second_time(database: Database, task: str) -> None:
    expired_sessions(database, 3)
    with database.connect() as connection:
        connection.execute(READ_LONG_AGO, (notifications(database, 3),))
        Rows(connection).job(posted_at="2020-01-01", expires_at="2020-02-01")
    first = house(database, task)[task]
    assert sum(first.values()) > 0
    second = house(database, task)[task]
    assert second == ({"views": 1} if task == "statistics" else dict.fromkeys(first, 0))


def test_several_tasks_are_one_line(database: Database, pooler: Pooler) -> None:
    found = house(database, *TASKS, url=database.url("app", pooler.host, pooler.port))
    assert [*found] == [*TASKS]
