"""Who may do what in the database, tried through the ways that they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.sql import Endpoints, SqlError

INSUFFICIENT_PRIVILEGE = "42501"
READ_ONLY_TRANSACTION = "25006"
STRANGER = "stranger"
STRANGER_PASSWORD = "qT7-mW3x-Rb9d-Ls5k"  # of a role that lives as long as one test

DDL = (
    "CREATE TABLE public.intruder (id int)",
    "ALTER TABLE jobs ADD COLUMN intruder int",
    "DROP TABLE jobs",
    "TRUNCATE jobs CASCADE",
    "CREATE INDEX intruder ON jobs (title)",
    "CREATE SCHEMA intruder",
    "CREATE FUNCTION public.intruder() RETURNS int LANGUAGE sql AS 'SELECT 1'",
)
FUNCTIONS = (
    "refresh_employer_job_statistics()",
    "statistics_slow_queries(1)",
    "statistics_connections()",
    "audit_trail('jobs', 1, 1)",
)
WRITES_OF_THE_VERSION = (
    "UPDATE alembic_version SET version_num = 'intruder'",
    "INSERT INTO alembic_version VALUES ('intruder')",
    "DELETE FROM alembic_version",
)


@pytest.fixture
def stranger(sql: Endpoints) -> Iterator[str]:
    """A role that may log in, and that nobody listed."""
    sql.superuser(
        f"DROP ROLE IF EXISTS {STRANGER}", f"CREATE ROLE {STRANGER} LOGIN PASSWORD '{STRANGER_PASSWORD}'"
    )
    yield STRANGER
    sql.superuser(f"DROP ROLE {STRANGER}")


def test_the_app_reads_and_writes_rows_through_the_pool(sql: Endpoints) -> None:
    found = sql.pooled("app")(
        "BEGIN; INSERT INTO companies (name) VALUES ('Written through the pool'); "
        "UPDATE companies SET city = 'Here' WHERE name = 'Written through the pool'; "
        "SELECT name, city FROM companies WHERE name = 'Written through the pool'; "
        "DELETE FROM companies WHERE name = 'Written through the pool'; ROLLBACK"
    )
    assert found == "Written through the pool|Here"


def test_the_connection_to_the_pool_is_encrypted(sql: Endpoints) -> None:
    way = sql.pooled("app")
    shown = way.machine.sh(f"PGPASSWORD='{way.password}' psql '{way.conninfo}' -X -c '\\conninfo'")
    assert "SSL connection (protocol: TLSv1." in shown


@pytest.mark.parametrize("statement", DDL)
def test_the_app_may_not_change_the_schema(sql: Endpoints, statement: str) -> None:
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")(f"BEGIN; {statement}; ROLLBACK")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize("statement", WRITES_OF_THE_VERSION)
def test_the_app_may_not_write_the_schemas_revision(sql: Endpoints, statement: str) -> None:
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")(f"BEGIN; {statement}; ROLLBACK")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_the_app_may_not_become_the_owner(sql: Endpoints) -> None:
    owner = sql.landscape.value("bundle_owner_role")
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")(f"SET ROLE {owner}")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_the_migrator_becomes_the_owner_at_login(sql: Endpoints) -> None:
    values = sql.landscape
    found = sql.direct("migrator")("SELECT session_user, current_user")
    assert found == f"{values.value('bundle_migrator_user')}|{values.value('bundle_owner_role')}"


def test_what_the_migrator_makes_belongs_to_the_owner_and_the_app_may_use_it(sql: Endpoints) -> None:
    app, owner = (sql.landscape.value(name) for name in ("bundle_app_user", "bundle_owner_role"))
    found = sql.direct("migrator")(
        "BEGIN; CREATE TABLE made_by_migrator (id int GENERATED ALWAYS AS IDENTITY, word text); "
        f"SELECT tableowner, has_table_privilege('{app}', 'made_by_migrator', 'SELECT, INSERT, UPDATE, DELETE'), "
        f"has_table_privilege('{app}', 'made_by_migrator', 'TRUNCATE') "
        "FROM pg_tables WHERE tablename = 'made_by_migrator'; ROLLBACK"
    )
    assert found == f"{owner}|t|f"


def test_the_readonly_role_reads(sql: Endpoints) -> None:
    assert int(sql.direct("readonly")("SELECT count(*) FROM alembic_version")) == 1


def test_the_readonly_role_is_in_a_read_only_transaction(sql: Endpoints) -> None:
    with pytest.raises(SqlError) as refused:
        sql.direct("readonly")("DELETE FROM notifications WHERE false")
    assert refused.value.sqlstate == READ_ONLY_TRANSACTION


def test_the_readonly_role_has_no_right_to_write_either(sql: Endpoints) -> None:
    with pytest.raises(SqlError) as refused:
        sql.direct("readonly")("SET transaction_read_only = off; DELETE FROM notifications WHERE false")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_the_monitor_reads_statistics_and_no_rows(sql: Endpoints) -> None:
    monitor = sql.beside("monitor")
    assert int(monitor("SELECT count(*) FROM pg_stat_statements")) > 0
    with pytest.raises(SqlError) as refused:
        monitor("SELECT count(*) FROM users")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_the_app_sees_what_others_do_in_the_owners_functions_only(sql: Endpoints) -> None:
    app, hidden = sql.pooled("app"), "'<insufficient privilege>'"
    assert int(app(f"SELECT count(*) FROM statistics_slow_queries(1000) WHERE query <> {hidden}")) > 0
    assert int(app(f"SELECT count(*) FROM statistics_slow_queries(1000) WHERE query = {hidden}")) == 0
    assert int(app(f"SELECT count(*) FROM pg_stat_statements WHERE query = {hidden}")) > 0


@pytest.mark.parametrize("statement", FUNCTIONS)
def test_nobody_but_the_app_may_execute_the_owners_functions(sql: Endpoints, statement: str) -> None:
    sql.pooled("app")(f"BEGIN; SELECT {statement}; ROLLBACK")
    for role in ("readonly", "monitor"):
        with pytest.raises(SqlError) as refused:
            sql.beside(role)(f"SELECT {statement}")
        assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_the_app_has_no_way_into_the_audit_trail_but_its_function(sql: Endpoints) -> None:
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")("SELECT count(*) FROM audit.changes")
    assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE


def test_an_unlisted_role_may_not_connect_directly(sql: Endpoints, stranger: str) -> None:
    with pytest.raises(SqlError, match=r"no pg_hba\.conf entry"):
        sql.direct(stranger, STRANGER_PASSWORD)("SELECT 1")


def test_an_unlisted_role_may_not_connect_through_the_pool(sql: Endpoints, stranger: str) -> None:
    with pytest.raises(SqlError, match="no such user"):
        sql.pooled(stranger, STRANGER_PASSWORD)("SELECT 1")


def test_a_wrong_password_is_refused_by_the_pool(sql: Endpoints) -> None:
    with pytest.raises(SqlError, match="authentication failed"):
        sql.pooled("app", "wrong-password-of-the-app")("SELECT 1")


def test_a_wrong_password_is_refused_by_postgresql(sql: Endpoints) -> None:
    with pytest.raises(SqlError, match="password authentication failed"):
        sql.direct("migrator", "wrong-password-of-the-migrator")("SELECT 1")


def test_postgresql_refuses_a_connection_that_is_not_encrypted(sql: Endpoints) -> None:
    with pytest.raises(SqlError, match="no encryption"):
        sql.direct("migrator", sslmode="disable")("SELECT 1")


def test_the_owner_has_no_login(sql: Endpoints) -> None:
    owner = sql.landscape.value("bundle_owner_role")
    assert sql.superuser(f"SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = '{owner}'") == "f|f"
