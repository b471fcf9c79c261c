"""The materialized view of job statistics: right numbers, refreshed by the app while others read."""

from __future__ import annotations

import threading

import psycopg
import pytest

from harness.cluster import Database
from harness.rows import Rows
from harness.sample import fill

REFRESH = "SELECT refresh_employer_job_statistics()"
SHOWN = """
SELECT employer_id, jobs, published_jobs, views,
    applications, shortlisted, accepted, rejected, last_applied_at
FROM employer_job_statistics ORDER BY employer_id
"""
# The same, counted for each employer alone.
COUNTED = """
SELECT e.id,
    (SELECT count(*) FROM jobs j WHERE j.employer_id = e.id AND j.deleted_at IS NULL),
    (SELECT count(*) FROM jobs j WHERE j.employer_id = e.id AND j.status = 'published'),
    (SELECT coalesce(sum(views_count), 0) FROM jobs j WHERE j.employer_id = e.id AND j.deleted_at IS NULL),
    (SELECT count(*) FROM live a WHERE a.employer_id = e.id),
    (SELECT count(*) FROM live a WHERE a.employer_id = e.id AND a.status = 'shortlisted'),
    (SELECT count(*) FROM live a WHERE a.employer_id = e.id AND a.status = 'accepted'),
    (SELECT count(*) FROM live a WHERE a.employer_id = e.id AND a.status = 'rejected'),
    (SELECT max(applied_at) FROM live a WHERE a.employer_id = e.id)
FROM employers e ORDER BY e.id
"""
LIVE = """
WITH live AS (
    SELECT a.*, j.employer_id FROM job_applications a JOIN jobs j ON j.id = a.job_id
    WHERE a.deleted_at IS NULL AND j.deleted_at IS NULL)
"""
DELETE_SOME = (
    "UPDATE jobs SET status = 'archived', deleted_at = now() WHERE id % 5 = 0",
    "UPDATE job_applications SET deleted_at = now() WHERE id % 3 = 0",
)


@pytest.fixture
def filled(database: Database) -> Database:
    """A database with sample data, some of it deleted, and an employer without jobs."""
    fill(database)
    database.run(*DELETE_SOME)
    with database.connect("app") as connection:
        Rows(connection).employer()
        connection.execute(REFRESH)
    return database


def test_numbers_are_those_of_the_tables_without_what_is_deleted(filled: Database) -> None:
    shown = filled.rows(SHOWN)
    assert shown == filled.rows(LIVE + COUNTED)
    assert sum(row[4] for row in shown) > 100


def test_employer_without_jobs_is_there_with_zeros(filled: Database) -> None:
    assert filled.rows(SHOWN)[-1][1:] == (0, 0, 0, 0, 0, 0, 0, None)


def test_every_row_says_when_it_was_counted(filled: Database) -> None:
    before = filled.rows("SELECT DISTINCT refreshed_at FROM employer_job_statistics")
    filled.run(REFRESH)
    after = filled.rows("SELECT DISTINCT refreshed_at FROM employer_job_statistics")
    assert len(before) == len(after) == 1
    assert after > before


def test_the_app_refreshes_it_through_the_function_only(filled: Database) -> None:
    with (
        filled.connect("app") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner"),
    ):
        connection.execute("REFRESH MATERIALIZED VIEW employer_job_statistics")


def test_the_app_cannot_write_into_it(filled: Database) -> None:
    with filled.connect("app") as connection, pytest.raises(psycopg.errors.WrongObjectType):
        connection.execute("DELETE FROM employer_job_statistics")


def test_it_is_read_while_it_is_being_refreshed(filled: Database) -> None:
    with filled.connect("app") as refreshing, refreshing.transaction():
        refreshing.execute(REFRESH)
        with filled.connect("app") as reader:
            reader.execute("SET lock_timeout = '10s'")
            assert reader.execute("SELECT count(*) > 0 FROM employer_job_statistics").fetchone() == (True,)


def test_it_is_refreshed_while_somebody_reads_it(filled: Database) -> None:
    with filled.connect("app") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM employer_job_statistics")
        refreshing = threading.Thread(target=filled.run, args=(REFRESH,))
        refreshing.start()
        refreshing.join(timeout=60)
        assert not refreshing.is_alive()
