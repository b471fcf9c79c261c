"""What each role can and cannot do after one run of postgresql_access, tried by logging in as that role."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from access_cluster import (
    APP,
    DATABASE,
    MIGRATOR,
    MONITOR,
    OWNER,
    POOLER,
    READONLY,
    STRANGER,
    clean,
    execute,
    one,
    run,
    session,
)
from psycopg2 import errors

MIGRATION = """
CREATE TABLE alembic_version (version_num text PRIMARY KEY);
INSERT INTO alembic_version VALUES ('h8c2d6e5f4g3');
CREATE TABLE jobs (id serial PRIMARY KEY, title text NOT NULL);
CREATE VIEW titles AS SELECT title FROM jobs;
CREATE FUNCTION count_jobs() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
    AS 'SELECT count(*) FROM jobs';
CREATE FUNCTION statements() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()'
"""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster after the first run, a migration, and the run after it, as in site.yml."""
    clean()
    run()
    execute(MIGRATION, MIGRATOR)
    run()
    yield
    clean()


def test_migrator_becomes_the_owner_at_login() -> None:
    with session(MIGRATOR) as cursor:
        assert one(cursor, "SELECT current_user") == OWNER
        assert one(cursor, "SELECT session_user") == MIGRATOR
        assert one(cursor, "SELECT tableowner FROM pg_tables WHERE tablename = 'jobs'") == OWNER


def test_app_reads_and_writes_tables_that_the_migrator_made() -> None:
    with session(APP) as cursor:
        cursor.execute("INSERT INTO jobs (title) VALUES ('cook') RETURNING id")
        cursor.execute("UPDATE jobs SET title = 'baker' WHERE title = 'cook'")
        assert one(cursor, "SELECT title FROM titles") == "baker"
        assert one(cursor, "SELECT count_jobs()") == 1
        cursor.execute("DELETE FROM jobs")


def test_app_sees_what_other_sessions_do_through_a_function_of_the_owner_only() -> None:
    query = "SELECT 'of another session'"
    with session(READONLY) as other, session(APP) as cursor:
        other.execute(query)
        cursor.execute("SELECT statements()")
        assert (query,) in cursor.fetchall()
        cursor.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert (query,) not in cursor.fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE jobs ADD COLUMN salary int",
        "DROP TABLE jobs",
        "TRUNCATE jobs",
        "CREATE INDEX mine ON jobs (title)",
        "CREATE EXTENSION hstore",
        "CREATE ROLE mine",
        "INSERT INTO alembic_version VALUES ('forged')",
        "UPDATE alembic_version SET version_num = 'forged'",
        "DELETE FROM alembic_version",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pgbouncer.get_auth('postgres')",
        f"SET ROLE {OWNER}",
    ],
)
def test_app_is_refused_what_is_not_its_work(statement: str) -> None:
    with pytest.raises(psycopg2.Error) as refused:
        execute(statement, APP)
    assert refused.value.pgcode == "42501"


def test_app_reads_the_revision_of_the_schema() -> None:
    with session(APP) as cursor:
        assert one(cursor, "SELECT version_num FROM alembic_version") == "h8c2d6e5f4g3"


def test_app_uses_a_table_that_is_made_after_the_last_run() -> None:
    execute("CREATE TABLE later (id serial PRIMARY KEY); INSERT INTO later DEFAULT VALUES", MIGRATOR)
    with session(APP) as cursor:
        cursor.execute("INSERT INTO later DEFAULT VALUES RETURNING id")
        assert cursor.fetchone() == (2,)
    with session(READONLY) as cursor:
        assert one(cursor, "SELECT count(*) FROM later") == 2
    execute("DROP TABLE later", MIGRATOR)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO jobs (title) VALUES ('x')",
        "DELETE FROM jobs",
        "SELECT nextval('jobs_id_seq')",
        "SELECT count_jobs()",
        "SELECT statements()",
    ],
)
def test_readonly_cannot_write(statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        execute(statement, READONLY)


def test_readonly_reads_every_table() -> None:
    with session(READONLY) as cursor:
        cursor.execute("SELECT FROM jobs, titles, alembic_version")


def test_settings_are_in_force_in_a_new_session() -> None:
    with session(APP) as cursor:
        assert one(cursor, "SHOW statement_timeout") == "30s"
        assert one(cursor, "SHOW lock_timeout") == "5s"
        assert one(cursor, "SHOW search_path") == '"$user", public'
    with session(MONITOR) as cursor:
        assert one(cursor, "SHOW default_transaction_read_only") == "on"


def test_role_that_is_not_listed_cannot_connect() -> None:
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        execute("SELECT", STRANGER)


def test_role_of_another_database_still_connects_there() -> None:
    execute("SELECT", STRANGER, database="postgres")


def test_monitor_reads_statistics_of_others_but_no_rows() -> None:
    with session(MONITOR) as cursor:
        cursor.execute("SELECT query FROM pg_stat_activity; SELECT pg_database_size('intowork')")
        with pytest.raises(errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM jobs")


def test_lookup_function_gives_the_pooler_a_verifier() -> None:
    with session(POOLER) as cursor:
        verifier = one(cursor, f"SELECT passwd FROM pgbouncer.get_auth('{APP}')")
    assert verifier.startswith("SCRAM-SHA-256$4096:")


@pytest.mark.parametrize("user", [APP, READONLY, MONITOR, MIGRATOR])
def test_lookup_function_is_refused_to_everyone_else(user: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        execute(f"SELECT * FROM pgbouncer.get_auth('{APP}')", user)


def test_owner_cannot_log_in() -> None:
    with pytest.raises(psycopg2.OperationalError):
        execute("SELECT", OWNER)


def test_extensions_belong_to_the_superuser_and_stand_where_asked() -> None:
    with session() as cursor:
        cursor.execute(
            "SELECT extname, extowner::regrole = 10::oid::regrole, extnamespace::regnamespace::text "
            "FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
        )
        assert cursor.fetchall() == [("pg_stat_statements", True, "public"), ("pgcrypto", True, "crypto")]


def test_database_is_made_as_described() -> None:
    with session() as cursor:
        cursor.execute(
            "SELECT datdba::regrole::text, pg_encoding_to_char(encoding), datcollate FROM pg_database "
            f"WHERE datname = '{DATABASE}'"
        )
        assert cursor.fetchone() == (OWNER, "UTF8", "C.UTF-8")
        assert (
            one(cursor, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'") == OWNER
        )


def test_a_run_after_the_migration_leaves_nothing_to_do() -> None:
    assert run()["statements"] == []
