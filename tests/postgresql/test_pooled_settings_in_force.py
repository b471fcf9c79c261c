"""A real pgBouncer's sessions take in what ALTER ROLE … SET says, also when the run that said it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "plugins"))

import real_module  # noqa: E402

NAME = "pooled_settings_in_force"
USER, OTHER, PASSWORD = "pooled_user", "direct_user", "Vq7-pL2x-Tz9d"
SERVER = {"host": os.environ.get("PGHOST"), "port": os.environ.get("PGPORT")}
CONFIG = """
[databases]
postgres = host={host} port={port} dbname=postgres user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {directory}/users
admin_users = admin
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = extra_float_digits
"""


def execute(*statements: str) -> None:
    """Run statements as the superuser."""
    with contextlib.closing(psycopg2.connect(dbname="postgres")) as connection:
        connection.autocommit = True
        for statement in statements:
            with connection.cursor() as cursor:
                cursor.execute(statement)


class Pooler:
    """A real pgBouncer before the throwaway cluster, and the module's options for it."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.record = directory / "state" / "settings.json"
        values = {**SERVER, "user": USER, "password": PASSWORD, "own_port": self.port, "directory": directory}
        (directory / "pgbouncer.ini").write_text(CONFIG.format(**values))
        (directory / "users").write_text(f'"admin" "{PASSWORD}"\n"{USER}" "{PASSWORD}"\n')
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "these tests need pgBouncer: apt-get install pgbouncer"
        demoted: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self.process = subprocess.Popen(
            [program, str(directory / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **(demoted if os.geteuid() == 0 else {}),
        )
        real_module.wait_until(self.answers, "an answer of pgBouncer")

    def answers(self) -> bool:
        """Whether it listens."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def timeout(self) -> str:
        """The statement_timeout of a pooled session."""
        where = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        with contextlib.closing(psycopg2.connect(**where, dbname="postgres", sslmode="disable")) as session:
            # A client that leaves in a transaction costs the pooler its session.
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                return str(cursor.fetchone()[0])

    def options(self) -> dict[str, Any]:
        """What a role gives the module."""
        console = {"host": "127.0.0.1", "port": self.port, "user": "admin", "password": PASSWORD}
        login = {"login_user": os.environ["PGUSER"], "login_password": os.environ["PGPASSWORD"]}
        server = {"login_host": SERVER["host"], "port": int(str(SERVER["port"])), **login}
        return {
            "users": [USER],
            "databases": ["postgres"],
            "pooler": console,
            "record": str(self.record),
            **server,
        }

    def run(self, **options: Any) -> dict[str, Any]:
        """Run the module."""
        return real_module.run(NAME, **self.options() | options)


@pytest.fixture
def pooler() -> Iterator[Pooler]:
    """A pooler with one open session, for which the module has run once."""
    assert "PGHOST" in os.environ, "these tests need a throwaway PostgreSQL 15: pg_virtualenv -v 15 pytest …"
    drop = [f"DROP ROLE IF EXISTS {name}" for name in (USER, OTHER)]
    execute(*drop, *(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'" for name in (USER, OTHER)))
    execute(f"ALTER ROLE {USER} SET statement_timeout = '30s'")
    with tempfile.TemporaryDirectory(prefix="pgb-") as name:
        Path(name).chmod(0o755)
        pooler = Pooler(Path(name))
        assert pooler.run()["changed"]
        assert pooler.timeout() == "30s"
        yield pooler
        pooler.process.kill()
        pooler.process.wait()
    execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pooled_user'", *drop)


def change(value: str) -> None:
    """What postgresql_access does, and is killed after."""
    execute(f"ALTER ROLE {USER} SET statement_timeout = '{value}'")


def test_second_run_changes_nothing(pooler: Pooler) -> None:
    assert not pooler.run()["changed"]


def test_open_sessions_keep_a_changed_setting_out_until_the_next_run(pooler: Pooler) -> None:
    change("20s")
    assert pooler.timeout() == "30s"
    assert pooler.run()["changed"]
    assert pooler.timeout() == "20s"
    assert not pooler.run()["changed"]


def test_run_that_is_killed_before_the_pooler_reconnected_is_finished_by_the_next(pooler: Pooler) -> None:
    change("20s")
    pooler.process.send_signal(signal.SIGSTOP)
    running = real_module.start(NAME, pooler.options())
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    real_module.wait_until(lambda: children.read_text() != "", "psql at the pooler's console")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    pooler.process.send_signal(signal.SIGCONT)
    assert pooler.timeout() == "30s"
    assert pooler.run()["changed"]
    assert pooler.timeout() == "20s"


def test_setting_that_was_changed_and_changed_back_does_not_stay_in_a_session(pooler: Pooler) -> None:
    change("1s")
    execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pooled_user'")
    real_module.wait_until(lambda: pooled(pooler) == "1s", "a session with the drifted setting")
    change("30s")
    assert pooler.run()["changed"]
    assert pooler.timeout() == "30s"


def pooled(pooler: Pooler) -> str:
    """The timeout of a pooled session, empty while the pooler is about to notice that its sessions are gone."""
    try:
        return pooler.timeout()
    except psycopg2.Error:
        return ""


def test_setting_of_a_pooled_database_counts_too(pooler: Pooler) -> None:
    try:
        execute("ALTER DATABASE postgres SET lock_timeout = '7s'")
        assert pooler.run()["changed"]
    finally:
        execute("ALTER DATABASE postgres RESET lock_timeout")


def test_setting_of_a_user_who_is_not_pooled_changes_nothing(pooler: Pooler) -> None:
    execute(f"ALTER ROLE {OTHER} SET statement_timeout = '1s'")
    assert not pooler.run()["changed"]


def test_check_mode_shows_the_change_and_leaves_the_sessions(pooler: Pooler) -> None:
    change("20s")
    checked = pooler.run(_ansible_check_mode=True)
    assert checked["changed"]
    assert "statement_timeout=30s" in checked["diff"]["before"]
    assert "statement_timeout=20s" in checked["diff"]["after"]
    assert pooler.timeout() == "30s"


def test_check_mode_on_a_host_without_a_server_says_that_it_cannot_know(pooler: Pooler) -> None:
    checked = pooler.run(login_host="127.0.0.1", port=1, _ansible_check_mode=True)
    assert (checked["changed"], "before the server runs" in checked["msg"]) == (True, True)


def test_pooler_that_does_not_answer_is_an_error_and_leaves_the_record(pooler: Pooler) -> None:
    before = json.loads(pooler.record.read_text())
    change("20s")
    failed = pooler.run(pooler=pooler.options()["pooler"] | {"password": "wrong"})
    assert failed["failed"]
    assert "Pooled sessions may still have settings of before: RECONNECT" in failed["msg"]
    assert json.loads(pooler.record.read_text()) == before
