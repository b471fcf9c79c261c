"""Whatever is changed by hand, postgresql_access puts back; what it was not asked about it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from access_cluster import (
    APP,
    DATABASE,
    MIGRATOR,
    OWNER,
    PASSWORD,
    POOLER,
    READONLY,
    STRANGER,
    clean,
    execute,
    one,
    planned,
    run,
    session,
    wanted,
)

TABLES = (
    "CREATE TABLE alembic_version (version_num text); CREATE TABLE jobs (id serial, title text, views int)"
)
FUNCTION = "CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b'"


@pytest.fixture(scope="module", autouse=True)
def settled() -> Iterator[None]:
    """A cluster after a run, with objects that a migration made and the run after that."""
    clean()
    run()
    execute(f"{TABLES}; {FUNCTION}", MIGRATOR)
    run()
    yield
    clean()


DRIFT = [
    # by hand, and what must come back as it was
    f"GRANT pg_write_all_data TO {APP}",
    f"GRANT {OWNER} TO {MIGRATOR} WITH ADMIN OPTION",
    f"ALTER ROLE {APP} SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS",
    f"ALTER ROLE {OWNER} LOGIN",
    f"ALTER ROLE {APP} SET statement_timeout = 0",
    f"ALTER ROLE {APP} RESET search_path",
    f"ALTER ROLE {APP} SET work_mem = '1GB'",
    f"ALTER ROLE {APP} SET temp_tablespaces = 'a b', c",
    f"ALTER ROLE {APP} SET my.own = 'x'",
    f"ALTER ROLE {MIGRATOR} RESET role",
    "ALTER ROLE intowork_monitor CONNECTION LIMIT 50",
    f"ALTER ROLE {APP} PASSWORD 'another'",
    f"SET password_encryption = md5; ALTER ROLE {APP} PASSWORD $${PASSWORD}$$",
    f"REVOKE CONNECT ON DATABASE {DATABASE} FROM {APP}",
    f"GRANT CONNECT ON DATABASE {DATABASE} TO {STRANGER}",
    f"GRANT ALL ON DATABASE {DATABASE} TO PUBLIC",
    f"GRANT CREATE ON DATABASE {DATABASE} TO {APP} WITH GRANT OPTION",
    "ALTER SCHEMA public OWNER TO postgres",
    f"GRANT CREATE ON SCHEMA public TO {APP}",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    f"REVOKE USAGE ON SCHEMA public FROM {APP}",
    f"REVOKE INSERT ON jobs FROM {APP}",
    f"GRANT TRUNCATE ON jobs TO {APP}",
    f"GRANT SELECT ON jobs TO {APP} WITH GRANT OPTION",
    f"GRANT TRUNCATE ON jobs TO {APP} WITH GRANT OPTION",
    f"GRANT UPDATE ON jobs TO {READONLY}",
    f"GRANT UPDATE (title, views) ON jobs TO {READONLY}",
    "GRANT SELECT ON jobs TO PUBLIC",
    f"GRANT INSERT ON alembic_version TO {APP}",
    f"GRANT UPDATE (version_num) ON alembic_version TO {APP}",
    f"REVOKE USAGE ON SEQUENCE jobs_id_seq FROM {APP}",
    f"GRANT USAGE ON SEQUENCE jobs_id_seq TO {READONLY}",
    f"REVOKE EXECUTE ON FUNCTION add(int, int) FROM {APP}",
    "GRANT EXECUTE ON FUNCTION add(int, int) TO PUBLIC",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public REVOKE INSERT ON TABLES FROM {APP}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT INSERT ON TABLES TO {READONLY}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT TRUNCATE ON TABLES TO {APP}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public"
    f" GRANT SELECT ON TABLES TO {APP} WITH GRANT OPTION",
    "DROP EXTENSION pg_stat_statements",
    "ALTER EXTENSION pgcrypto SET SCHEMA public",
    "DROP FUNCTION pgbouncer.get_auth",
    "DROP SCHEMA pgbouncer CASCADE",
    f"ALTER FUNCTION pgbouncer.get_auth OWNER TO {OWNER}",
    "ALTER FUNCTION pgbouncer.get_auth SECURITY INVOKER",
    "ALTER FUNCTION pgbouncer.get_auth SET search_path = public, pg_temp",
    "ALTER FUNCTION pgbouncer.get_auth SET work_mem = '1GB'",
    "GRANT EXECUTE ON FUNCTION pgbouncer.get_auth TO PUBLIC",
    f"GRANT EXECUTE ON FUNCTION pgbouncer.get_auth TO {APP} WITH GRANT OPTION",
    f"REVOKE USAGE ON SCHEMA pgbouncer FROM {POOLER}",
    "DROP FUNCTION pgbouncer.get_auth; CREATE FUNCTION pgbouncer.get_auth(p_usename varchar) RETURNS text"
    " LANGUAGE sql AS 'SELECT NULL'",
]
FINGERPRINT = """
SELECT json_build_object(
  'roles', (SELECT json_agg(to_jsonb(a) - 'rolpassword' - 'oid' ORDER BY rolname) FROM pg_authid a),
  'scram', (SELECT json_agg(rolpassword LIKE 'SCRAM%' ORDER BY rolname) FROM pg_authid),
  'members', (SELECT json_agg((roleid::regrole, member::regrole, admin_option) ORDER BY 1, 2) FROM (
     SELECT * FROM pg_auth_members ORDER BY roleid::regrole::text, member::regrole::text) m),
  'settings', (SELECT json_agg(s ORDER BY s) FROM (
     SELECT setrole::regrole || ' ' || unnest(setconfig) AS s FROM pg_db_role_setting) t),
  'databases', (SELECT json_agg(x ORDER BY x) FROM (
     SELECT datname || unnest(datacl) AS x FROM pg_database) t),
  'schemas', (SELECT json_agg(x ORDER BY x) FROM (
     SELECT nspname || nspowner::regrole || unnest(nspacl) AS x FROM pg_namespace WHERE nspname !~ '^pg_') t),
  'relations', (SELECT json_agg(x ORDER BY x) FROM (
     SELECT relname || unnest(relacl) AS x FROM pg_class WHERE relnamespace = 'public'::regnamespace) t),
  'columns', (SELECT count(*) FROM pg_attribute, unnest(attacl)),
  'routines', (SELECT json_agg(x ORDER BY x) FROM (
     SELECT proname || proowner::regrole || prosecdef || coalesce(proconfig::text, '') || prosrc
       || pg_get_function_result(oid) || unnest(proacl) AS x
     FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'pgbouncer')) t),
  'defaults', (SELECT json_agg(x ORDER BY x) FROM (
     SELECT defaclrole::regrole || defaclnamespace::text || defaclobjtype::text || unnest(defaclacl) AS x
     FROM pg_default_acl) t),
  'extensions', (SELECT json_agg((extname, extnamespace::regnamespace) ORDER BY extname)
     FROM pg_extension))::text
"""


def fingerprint() -> dict[str, Any]:
    """Return what the catalogs say about all that the module decides."""
    with session() as cursor:
        return dict(json.loads(one(cursor, FINGERPRINT)))


@pytest.mark.parametrize("drift", DRIFT, ids=lambda drift: drift[:60])
def test_drift_by_hand_is_corrected_by_the_statements_that_were_planned(drift: str) -> None:
    before = fingerprint()
    execute(drift)
    statements = planned()
    assert statements
    assert run()["statements"] == statements
    assert fingerprint() == before
    assert planned() == []


def test_check_mode_shows_the_statements_and_leaves_the_drift() -> None:
    execute(f"ALTER ROLE {APP} CREATEDB; REVOKE INSERT ON jobs FROM {APP}; DROP EXTENSION pg_stat_statements")
    before, checked = fingerprint(), run(check=True)
    assert checked["changed"]
    assert len(checked["statements"]) == 3
    assert fingerprint() == before
    assert run()["statements"] == checked["statements"]


def test_privilege_that_a_grant_option_handed_on_is_given_again_by_the_owner() -> None:
    execute(f"GRANT SELECT ON jobs TO {APP} WITH GRANT OPTION; REVOKE SELECT ON jobs FROM {READONLY}")
    execute(f"GRANT SELECT ON jobs TO {READONLY}, {STRANGER}", APP)
    run()
    assert planned() == []
    execute("SELECT FROM jobs", READONLY)


def test_what_is_not_listed_stays_as_it_is() -> None:
    execute(f"GRANT SELECT ON jobs TO {STRANGER}; ALTER ROLE {STRANGER} SET work_mem = '5MB'")
    execute(f"ALTER ROLE {APP} IN DATABASE {DATABASE} SET work_mem = '6MB'; GRANT pg_monitor TO {STRANGER}")
    before = fingerprint()
    assert planned() == []
    assert fingerprint() == before


def test_schema_public_of_another_owner_still_takes_the_tables_of_migrations() -> None:
    args = wanted()
    args["databases"][0]["schema_public_owner"] = "pg_database_owner"
    run(args)
    execute("CREATE TABLE other (id int); DROP TABLE other", MIGRATOR)
    args["databases"][0]["schema_public_owner"] = "postgres"
    assert len(run(args)["statements"]) == 2
    assert run(args)["statements"] == []
    execute("CREATE TABLE other (id int); DROP TABLE other", MIGRATOR)
    run()
    assert planned() == []
