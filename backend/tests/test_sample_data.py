"""Sample data: the same for the same seed, within all rules, with the rights of the app."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from app.sample_data import load
from harness.cluster import Cluster, Database
from harness.migrations import module
from harness.pooler import Pooler
from harness.rows import Rows

TABLES = [table.name for table in load.TABLES]
JOBS, APPLICATIONS = 300, 3_000


UNTIL = "2026-01-16"


def fill(
    database: Database,
    pooler: Pooler,
    *words: str,
    seed: int = 1,
    jobs: int = JOBS,
    applications: int = APPLICATIONS,
) -> subprocess.CompletedProcess[str]:
    """Run the command through the pooler, as the app."""
    sizes = ["--jobs", str(jobs), "--applications", str(applications), "--seed", str(seed)]
    sizes += ["--until", UNTIL]
    url = database.url("app", pooler.host, pooler.port)
    return module("app.sample_data", *sizes, *words, DATABASE_URL=url)


def fingerprint(database: Database) -> dict[str, tuple[int, str]]:
    """Number of rows and a checksum over all of them, for each table."""
    return {
        table: database.rows(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM {table} t")[0]
        for table in TABLES
    }


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template: Database, pooler: Pooler) -> Iterator[Database]:
    """A database with the sample data of seed 1."""
    made = cluster.create(template)
    done = fill(made, pooler)
    assert done.returncode == 0, done.stderr
    yield made
    cluster.drop(made)


def test_as_many_jobs_and_applications_as_asked_for(filled: Database) -> None:
    there = fingerprint(filled)
    assert (there["jobs"][0], there["job_applications"][0]) == (JOBS, APPLICATIONS)


def test_the_newest_job_is_of_the_day_before_and_none_has_expired_then(filled: Database) -> None:
    newest, first_to_expire = filled.rows(
        "SELECT max(posted_at), min(expires_at) FROM jobs WHERE status = 'published'"
    )[0]
    assert newest.date() in (date(2026, 1, 14), date(2026, 1, 15))
    assert first_to_expire > datetime(2026, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_rows(filled: Database, table: str) -> None:
    assert filled.rows(f"SELECT EXISTS (SELECT FROM {table})") == [(True,)]


def test_same_seed_same_rows_and_another_seed_others(
    filled: Database, cluster: Cluster, template: Database, pooler: Pooler
) -> None:
    first = fingerprint(filled)
    for seed, same in ((1, True), (2, False)):
        again = cluster.create(template)
        assert fill(again, pooler, seed=seed).returncode == 0
        assert (fingerprint(again) == first) is same
        cluster.drop(again)


def test_counters_of_jobs_agree_with_the_applications(filled: Database) -> None:
    assert (
        filled.rows(
            "SELECT id FROM jobs WHERE applications_count <>"
            " (SELECT count(*) FROM job_applications WHERE job_id = jobs.id)"
        )
        == []
    )


def test_times_are_in_order(filled: Database) -> None:
    assert (
        filled.rows(
            "SELECT a.id FROM job_applications a JOIN jobs j ON j.id = job_id"
            " WHERE applied_at < posted_at OR viewed_at < applied_at OR posted_at < j.created_at"
        )
        == []
    )


def test_some_applied_again_after_a_rejection(filled: Database) -> None:
    assert (
        filled.rows("SELECT count(*) FROM job_applications GROUP BY job_id, candidate_id HAVING count(*) > 1")
        != []
    )


def test_a_few_jobs_are_very_popular(filled: Database) -> None:
    ((most, middle),) = filled.rows(
        "SELECT max(applications_count), percentile_disc(0.5) WITHIN GROUP (ORDER BY applications_count)"
        " FROM jobs"
    )
    assert most >= 5 * middle


@pytest.mark.parametrize("role", ["candidate", "employer", "admin"])
def test_a_known_person_of_each_role_is_there(filled: Database, role: str) -> None:
    there = filled.rows("SELECT role, is_active FROM users WHERE email = %s", f"{role}@example.com")
    assert there == [(role, True)]


def test_known_candidate_has_applications_and_known_employer_a_job(filled: Database) -> None:
    assert filled.rows("SELECT count(*) > 0 FROM job_applications WHERE candidate_id = 1") == [(True,)]
    assert filled.rows("SELECT count(*) > 0 FROM jobs WHERE employer_id = 1") == [(True,)]


@pytest.mark.parametrize("table", TABLES)
def test_the_next_id_comes_after_the_loaded_ones(filled: Database, table: str) -> None:
    ((following, highest),) = filled.rows(
        f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')), (SELECT max(id) FROM {table})"
    )
    assert following > highest


def test_a_filled_database_is_refused_and_left_as_it_is(filled: Database, pooler: Pooler) -> None:
    before = fingerprint(filled)
    done = fill(filled, pooler)
    assert done.returncode == 1
    assert "has data already, in: users" in done.stdout
    assert "--if-empty" in done.stderr
    assert fingerprint(filled) == before


def test_a_filled_database_is_fine_when_told_so(filled: Database, pooler: Pooler) -> None:
    before = fingerprint(filled)
    done = fill(filled, pooler, "--if-empty")
    assert done.returncode == 0
    assert "has data already" in done.stdout
    assert fingerprint(filled) == before


def test_one_row_anywhere_counts_as_data(database: Database, pooler: Pooler) -> None:
    with database.connect("app") as connection:
        Rows(connection).company()
    assert "has data already, in: companies" in fill(database, pooler).stdout


def test_a_load_that_fails_leaves_nothing(database: Database, pooler: Pooler) -> None:
    database.run("ALTER TABLE notifications ADD CONSTRAINT never CHECK (false)")
    assert fill(database, pooler).returncode == 1
    assert database.rows("SELECT count(*) FROM users") == [(0,)]


def test_two_loads_at_once_do_not_mix(database: Database, pooler: Pooler) -> None:
    with database.connect("app") as first, first.transaction():
        first.execute("SELECT pg_advisory_xact_lock(7302026)")
        done = fill(database, pooler)
    assert done.returncode == 1
    assert "another load of sample data is under way" in done.stderr


@pytest.mark.parametrize(("jobs", "applications"), [(1, 0), (1, 5), (3, 1_000), (40, 1)])
def test_any_shape_can_be_made(database: Database, pooler: Pooler, jobs: int, applications: int) -> None:
    done = fill(database, pooler, jobs=jobs, applications=applications)
    assert done.returncode == 0, done.stderr
    assert database.rows("SELECT count(*) FROM job_applications") == [(applications,)]


@pytest.mark.parametrize(("jobs", "applications", "said"), [(0, 1, "--jobs 0"), (1, -1, "--applications -1")])
def test_impossible_numbers_are_refused(
    database: Database, pooler: Pooler, jobs: int, applications: int, said: str
) -> None:
    done = fill(database, pooler, jobs=jobs, applications=applications)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_a_database_without_tables_is_told_to_migrate(empty_database: Database, pooler: Pooler) -> None:
    done = fill(empty_database, pooler)
    assert done.returncode == 1
    assert "alembic upgrade head" in done.stderr
