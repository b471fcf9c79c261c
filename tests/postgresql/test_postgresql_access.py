"""postgresql_access on a real server: idempotent, truthful in check mode, discreet, never left half done."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run as command
from typing import Any

import psycopg2
import pytest
from access_cluster import (
    APP,
    DATABASE,
    MIGRATOR,
    OWNER,
    PASSWORD,
    READONLY,
    ROLES,
    ROOT,
    clean,
    execute,
    one,
    output,
    role,
    run,
    session,
    start,
    wait_until,
    wanted,
)

TABLES = (
    "CREATE TABLE alembic_version (version_num text); CREATE TABLE jobs (id serial, title text, views int)"
)
FUNCTION = "CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b'"


@pytest.fixture(autouse=True)
def cluster() -> Iterator[None]:
    """A cluster without anything of ours, before and after."""
    clean()
    yield
    clean()


@pytest.fixture
def settled() -> None:
    """A cluster after a run, with tables that a migration made and the run after that."""
    run()
    execute(f"{TABLES}; {FUNCTION}", MIGRATOR)
    run()


def present() -> tuple[int, int]:
    """Return how many of our roles and databases there are."""
    with session(database="postgres") as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(ROLES)])
        roles = len(cursor.fetchall())
        return roles, one(cursor, f"SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'")


def test_second_run_changes_nothing() -> None:
    first, second = run(), run()
    assert first["changed"]
    assert (second["changed"], second["statements"]) == (False, [])


def test_check_mode_on_an_empty_server_lists_what_the_run_then_issues_and_changes_nothing() -> None:
    checked = run(check=True)
    assert checked["changed"]
    assert present() == (0, 0)
    assert run()["statements"] == checked["statements"]


@pytest.mark.usefixtures("settled")
def test_migration_that_revokes_on_the_version_table_is_not_undone() -> None:
    execute(f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {APP}", MIGRATOR)
    assert not run()["changed"]


@pytest.mark.usefixtures("settled")
def test_changed_setting_and_limit_take_a_statement_each() -> None:
    args = wanted()
    role(args, APP)["settings"]["statement_timeout"] = "20s"
    role(args, READONLY)["connection_limit"] = 7
    assert run(args)["statements"] == [
        f'ALTER ROLE "{READONLY}" CONNECTION LIMIT 7',
        f"""ALTER ROLE "{APP}" SET "statement_timeout" TO '20s'""",
    ]


@pytest.mark.usefixtures("settled")
def test_rotated_password_works_and_the_old_one_does_not() -> None:
    args = wanted()
    role(args, APP)["password"] = "new-secret"
    assert run(args)["statements"] == [f"""ALTER ROLE "{APP}" PASSWORD '***'"""]
    with session(APP, password="new-secret") as cursor:
        assert one(cursor, "SELECT 1") == 1
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        execute("SELECT", APP)


@pytest.mark.usefixtures("settled")
def test_role_without_password_key_keeps_its_password() -> None:
    args = wanted()
    del role(args, APP)["password"]
    assert not run(args)["changed"]
    execute("SELECT", APP)


def server_log() -> Path:
    """Return the server's log file, which is where its standard error goes."""
    with session(database="postgres") as cursor:
        pid = one(cursor, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
    return Path(f"/proc/{pid}/fd/2").resolve()


@pytest.fixture
def verbose_log() -> Iterator[Path]:
    """The log file of a server that logs every statement, with its time, and errors with their statement."""
    loud = {"log_statement": "all", "log_min_duration_statement": "0", "log_min_error_statement": "debug5"}
    for name, value in loud.items():
        execute(f"ALTER SYSTEM SET {name} = '{value}'", database="postgres")
    execute("SELECT pg_reload_conf()", database="postgres")

    def loud_enough() -> bool:
        with session(database="postgres") as cursor:
            return bool(one(cursor, "SHOW log_statement") == "all")

    wait_until(loud_enough, "log_statement to be all")
    yield server_log()
    for name in loud:
        execute(f"ALTER SYSTEM RESET {name}", database="postgres")
    execute("SELECT pg_reload_conf()", database="postgres")


def test_no_secret_reaches_the_output_or_the_log_of_a_talkative_server(verbose_log: Path) -> None:
    start_of_run = verbose_log.stat().st_size
    written = output(wanted()) + output(wanted(), check=True)
    role(rotated := wanted(), APP)["password"] = "other-secret"
    written += output(rotated, check=True) + output(rotated)
    logged = verbose_log.read_text()[start_of_run:]
    assert "CREATE ROLE" in written
    assert "CREATE ROLE" in logged
    for secret in (PASSWORD, PASSWORD.replace("'", "''"), "other-secret", "SCRAM-SHA-256$"):
        assert secret not in written
        assert secret not in logged


def test_secret_statement_that_fails_is_neither_shown_nor_logged(verbose_log: Path) -> None:
    run()
    role(rotated := wanted(), APP)["password"] = "other-secret"
    start_of_run = verbose_log.stat().st_size
    holder = psycopg2.connect(dbname="postgres")
    with holder.cursor() as cursor, session(database="postgres") as other:
        cursor.execute("LOCK pg_authid IN SHARE MODE")
        process = start(rotated)
        waiting = (
            "FROM pg_stat_activity WHERE application_name = 'postgresql_access' AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: one(other, f"SELECT count(*) {waiting}") == 1, "ALTER ROLE to wait for the lock")
        other.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        written = process.communicate(timeout=60)[0]
    holder.close()
    assert f"""ALTER ROLE \\"{APP}\\" PASSWORD '***'""" in written
    assert "canceling statement due to user request (57014)" in written
    assert "SCRAM-SHA-256$" not in written + verbose_log.read_text()[start_of_run:]
    assert "canceling statement" in verbose_log.read_text()[start_of_run:]


def kill_while_waiting(lock: str, database: str, statement: str) -> None:
    """Kill the module while its statement waits for a lock that is held here, and its session with it."""
    holder = psycopg2.connect(dbname=database)
    with holder.cursor() as cursor, session(database="postgres") as other:
        cursor.execute(lock)
        process = start(wanted())
        waiting = (
            "FROM pg_stat_activity WHERE application_name = 'postgresql_access' "
            f"AND wait_event_type = 'Lock' AND query ~ '^{statement}'"
        )
        wait_until(
            lambda: one(other, f"SELECT count(*) {waiting}") == 1, f"the module to wait in {statement}"
        )
        process.kill()
        process.communicate()
        assert one(other, f"SELECT pg_terminate_backend(pid, 10000) {waiting}")
    holder.close()


@pytest.mark.parametrize(
    ("lock", "statement", "left"),
    [
        ("LOCK pg_auth_members IN SHARE MODE", "GRANT", (0, 0)),
        ("LOCK pg_database IN SHARE MODE", "CREATE DATABASE", (len(ROLES), 0)),
    ],
)
def test_run_killed_before_the_database_is_there_is_finished_by_the_next(
    lock: str, statement: str, left: tuple[int, int]
) -> None:
    kill_while_waiting(lock, "postgres", statement)
    assert present() == left
    run()
    assert present() == (len(ROLES), 1)
    assert run()["statements"] == []


def test_run_killed_inside_the_database_is_finished_by_the_next() -> None:
    bare = wanted()
    bare["databases"] = [{"name": DATABASE, "owner": OWNER}]
    run(bare)
    kill_while_waiting("LOCK pg_default_acl IN SHARE MODE", DATABASE, "ALTER DEFAULT PRIVILEGES")
    with session() as cursor:
        assert one(cursor, "SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'") == 0
    run()
    with session() as cursor:
        assert one(cursor, "SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'") == 1
    assert run()["statements"] == []


def by_socket() -> dict[str, Any]:
    """Return the options without host and password: the socket's peer authentication must do."""
    with session(database="postgres") as cursor:
        socket = one(cursor, "SHOW unix_socket_directories").split(",")[0]
    return {key: value for key, value in wanted().items() if not key.startswith("login_h")} | {
        "socket": socket,
        "login_password": None,
    }


def test_by_the_socket_it_logs_in_as_the_system_user_that_peer_authentication_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = by_socket()
    monkeypatch.delenv("PGPASSWORD")
    assert run(args)["changed"]
    assert not run(args)["changed"]


def test_playbook_makes_it_so_and_shows_statements_without_secrets(tmp_path: Path) -> None:
    playbook = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "Access", "postgresql_access": wanted()}],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(playbook))

    def play(*options: str) -> str:
        ansible = Path(sys.executable).with_name("ansible-playbook")
        where = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        done = command(
            [ansible, *where, tmp_path / "play.yml", "--diff", "-vvv", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | {"ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_REMOTE_TEMP": str(tmp_path)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    checked, first, second = play("--check"), play(), play()
    for shown in (checked, first):
        assert "changed=1 " in shown
        assert f'CREATE ROLE "{APP}" LOGIN;' in shown
        assert f'\\connect "{DATABASE}"' in shown
    assert "changed=0 " in second
    assert PASSWORD not in checked + first + second
    assert "SCRAM-SHA-256$" not in checked + first + second
