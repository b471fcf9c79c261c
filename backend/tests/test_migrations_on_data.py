"""Every single migration, up and down and up again on rows: nothing that was there is lost or altered."""

from __future__ import annotations

import pytest

from harness.checksums import checksums, columns, common
from harness.cluster import Database
from harness.migrations import downgrade, dump, online_revisions, parent_of, revisions, upgrade
from harness.sample import fill

ARCHIVE = """
WITH moved AS (DELETE FROM notifications WHERE is_read RETURNING *)
INSERT INTO notifications_archive (id, user_id, type, title, message, related_job_id,
    related_application_id, is_read, read_at, created_at)
SELECT id, user_id, type, title, message, related_job_id, related_application_id, is_read, read_at, created_at
FROM moved
"""
# Rows that make use of what a revision brings.
USES = {
    "l3g6h1i9j8k7": (
        "UPDATE users SET is_active = false, deleted_at = now() WHERE id % 7 = 0",
        "UPDATE jobs SET status = 'archived', deleted_at = now() WHERE id % 7 = 0",
        "UPDATE job_applications SET deleted_at = now() WHERE id % 7 = 0",
    ),
    "m4h7i2j1k9l8": (
        "INSERT INTO rate_limits VALUES ('sign-in 1', now(), 3)",
        "UPDATE accounts SET access_token = 'sealed:1:c2VhbGVk' WHERE id % 2 = 0",
        ARCHIVE,
    ),
    "n5i8j3k2l1m9": ("SELECT refresh_employer_job_statistics()",),
}
# What a revision brought goes when it is undone, and nothing else.
BROUGHT = {
    "l3g6h1i9j8k7": {
        "public.users.deleted_at",
        "public.jobs.deleted_at",
        "public.job_applications.deleted_at",
        "audit.changes",
    },
    "m4h7i2j1k9l8": {"public.rate_limits", "public.notifications_archive"},
}
# The table that rows of an undone table come back to; there is a test of it.
COME_BACK = {"m4h7i2j1k9l8": "public.notifications"}


def fill_all(database: Database, revision: str) -> None:
    """Rows in every table of a database that is at `revision`."""
    fill(database)
    for each in revisions()[: revisions().index(revision) + 1] if revision != "base" else []:
        database.run(*USES.get(each, ()))


@pytest.mark.parametrize("revision", revisions())
def test_no_row_is_altered_by_up_down_and_up(empty_database: Database, revision: str) -> None:
    database, parent = empty_database, parent_of(revision)
    upgrade(database, parent)
    fill_all(database, parent)
    schema, held = dump(database), columns(database)
    rows = checksums(database, held)
    assert all(found.rows and None not in dict(found.sequences).values() for found in rows.values())
    upgrade(database, revision)
    above = dump(database)
    assert checksums(database, held) == rows
    downgrade(database, parent)
    assert (dump(database), columns(database), checksums(database, held)) == (schema, held, rows)
    upgrade(database, revision)
    assert (dump(database), checksums(database, held)) == (above, rows)


def test_an_id_that_would_be_given_again_is_not_taken_for_the_same(database: Database) -> None:
    fill(database)
    held = columns(database)
    before = checksums(database, held)
    database.run("SELECT setval('notifications_id_seq', 1)")
    assert {table for table, found in checksums(database, held).items() if found != before[table]} == {
        "public.notifications"
    }


@pytest.mark.parametrize("revision", revisions())
def test_rows_of_the_newer_schema_outlive_down_and_up(empty_database: Database, revision: str) -> None:
    database, parent = empty_database, parent_of(revision)
    upgrade(database, parent)
    below = columns(database)
    upgrade(database, revision)
    fill_all(database, revision)
    both = common(below, columns(database))
    both.pop(COME_BACK.get(revision, ""), None)
    rows = checksums(database, both)
    downgrade(database, parent)
    assert checksums(database, both) == rows
    upgrade(database, revision)
    assert checksums(database, both) == rows


@pytest.mark.parametrize("revision", online_revisions())
def test_undoing_a_revision_takes_away_only_what_it_brought(empty_database: Database, revision: str) -> None:
    upgrade(empty_database, parent_of(revision))
    below = columns(empty_database)
    upgrade(empty_database, revision)
    above = columns(empty_database)
    tables = above.keys() - below.keys()
    added = {
        f"{table}.{name}" for table in above.keys() & below.keys() for name in above[table] - below[table]
    }
    assert below == common(below, above)
    assert tables | added == BROUGHT.get(revision, set())


def test_archived_notifications_come_back_when_the_archive_goes(empty_database: Database) -> None:
    revision = "m4h7i2j1k9l8"
    upgrade(empty_database, revision)
    fill(empty_database)
    held = {"public.notifications": columns(empty_database)["public.notifications"]}
    rows = checksums(empty_database, held)
    empty_database.run(ARCHIVE)
    assert checksums(empty_database, held) != rows
    downgrade(empty_database, parent_of(revision))
    assert checksums(empty_database, held) == rows


def test_archived_notification_of_a_deleted_job_comes_back_without_it(empty_database: Database) -> None:
    revision = "m4h7i2j1k9l8"
    upgrade(empty_database, revision)
    fill(empty_database)
    ((notification, job, application),) = empty_database.rows(
        "SELECT id, related_job_id, related_application_id FROM notifications WHERE is_read LIMIT 1"
    )
    empty_database.run(ARCHIVE, f"DELETE FROM jobs WHERE id = {job}")
    downgrade(empty_database, parent_of(revision))
    back = "SELECT related_job_id, related_application_id FROM notifications WHERE id = %s"
    assert empty_database.rows(back, notification) == [(None, None)]
    assert empty_database.rows("SELECT id FROM job_applications WHERE id = %s", application) == []
