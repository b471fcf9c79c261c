"""What role pgbouncer writes, read by a real pgBouncer: its settings, its databases, and who may use its console."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.pgbouncer import Console, ConsoleError

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., str]
INVENTORY: dict[str, Any] = {
    "bundle_pgbouncer_port": 6432,
    "bundle_postgresql_port": 5432,
    "bundle_max_connections": 100,
    "bundle_database": "shop",
    "bundle_pool_mode": "transaction",
    "bundle_owner_role": "shop_owner",
    "bundle_app_user": "shop_app",
    "bundle_pgbouncer_auth_user": "pgbouncer_auth",
    "bundle_pgbouncer_admin_user": "pgbouncer_admin",
    "pgbouncer_auth_password": "Vq7-pL2x",
    "pgbouncer_admin_password": 'Tz9d"" \\ it\'s # ; é"',
    "pgbouncer_stats_password": "Kc4m",
}


class Pooler:
    """A real pgBouncer with the role's files, whose paths are those of a directory of its own."""

    def __init__(self, directory: Path, render: Render) -> None:
        self.directory, self.render = directory, render
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def write(self, **variables: Any) -> None:
        """Write the role's files, without TLS: its key is the host's."""
        given = {
            **INVENTORY,
            "pgbouncer_port": self.port,
            "pgbouncer_listen_address": "127.0.0.1",
            **variables,
        }
        for name in ("listen.ini", "pgbouncer.ini", "userlist.txt"):
            text = self.render("pgbouncer", f"{name}.j2", **given)
            lines = text.replace("/etc/pgbouncer", str(self.directory)).splitlines(keepends=True)
            kept = [line for line in lines if not line.startswith("client_tls")]
            (self.directory / name).write_text("".join(kept).replace("/run/pgbouncer", str(self.directory)))

    def start(self, **variables: Any) -> None:
        """Start it and wait until it answers."""
        self.write(**variables)
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "these tests need pgBouncer: apt-get install pgbouncer"
        user: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [program, str(self.directory / "pgbouncer.ini")], stdout=log, stderr=log, cwd="/", **user
            )
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """Return what it said."""
        return (self.directory / "log").read_text()

    def console(self, user: str = "pgbouncer_admin", password: str | None = None) -> Console:
        """Return its console as the modules use it."""
        known = INVENTORY["pgbouncer_admin_password"] if password is None else password
        return Console(host="127.0.0.1", port=self.port, user=user, password=known, unit="pgbouncer.service")

    def settings(self) -> dict[str, str]:
        """Return the settings in force."""
        rows = self.console().run("SHOW CONFIG").splitlines()
        return {row.split(",")[0]: row.split(",")[1] for row in rows}


@pytest.fixture
def pooler(render: Render) -> Iterator[Pooler]:
    # In /tmp and not in pytest's directory, which other users cannot enter and whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="pgb-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        pooler = Pooler(directory, render)
        yield pooler
        pooler.stop()


def test_pooler_runs_with_the_roles_settings(pooler: Pooler) -> None:
    pooler.start()
    found = pooler.settings()
    expected = {
        "pool_mode": "transaction",
        "max_client_conn": "1000",
        "default_pool_size": "25",
        "auth_type": "scram-sha-256",
        "auth_user": "pgbouncer_auth",
        "listen_port": str(pooler.port),
        "server_login_retry": "1",
    }
    assert {name: found[name] for name in expected} == expected
    assert "WARNING" not in pooler.log()
    assert "ERROR" not in pooler.log()


def test_options_at_startup_are_not_dropped_unseen(pooler: Pooler) -> None:
    pooler.start()
    assert pooler.settings()["ignore_startup_parameters"] == "extra_float_digits"


def test_each_database_has_its_place_and_mode(pooler: Pooler) -> None:
    databases = [{"name": "shop", "owner": "a"}, {"name": "jobs", "owner": "a", "pool_mode": "session"}]
    pooler.start(pgbouncer_databases=databases, pgbouncer_postgresql_host="10.1.0.10")
    rows = [row.split(",") for row in pooler.console().run("SHOW DATABASES").splitlines()]
    found = {row[0]: (row[1], row[2], row[3], "session" in row) for row in rows if row[0] != "pgbouncer"}
    assert found == {
        "shop": ("10.1.0.10", "5432", "shop", False),
        "jobs": ("10.1.0.10", "5432", "jobs", True),
    }


@pytest.mark.parametrize("password", ['"', '""', 'a"b', "\\", "it's", "# ; %", " spaces ", "é☃", "=,:@/"])
def test_password_may_have_any_character(pooler: Pooler, password: str) -> None:
    pooler.start(pgbouncer_admin_password=password)
    assert pooler.console(password=password).run("SHOW VERSION")


def test_wrong_password_is_refused(pooler: Pooler) -> None:
    pooler.start()
    with pytest.raises(ConsoleError, match=r"SHOW VERSION on pgbouncer.service failed.*authentication"):
        pooler.console(password="wrong").run("SHOW VERSION")


def test_stats_user_may_look_and_not_act(pooler: Pooler) -> None:
    pooler.start()
    console = pooler.console("pgbouncer_stats", INVENTORY["pgbouncer_stats_password"])
    assert console.run("SHOW POOLS")
    with pytest.raises(ConsoleError, match="admin access needed"):
        console.run("PAUSE")


def test_lookup_user_has_no_console(pooler: Pooler) -> None:
    pooler.start()
    with pytest.raises(ConsoleError, match="not allowed"):
        pooler.console("pgbouncer_auth", INVENTORY["pgbouncer_auth_password"]).run("SHOW POOLS")


def test_paused_pooler_says_so_and_resumes(pooler: Pooler) -> None:
    pooler.start()
    console = pooler.console()
    console.run("PAUSE")
    with pytest.raises(ConsoleError, match="already suspended/paused"):
        console.run("PAUSE")
    console.run("RESUME")
    with pytest.raises(ConsoleError, match="not paused"):
        console.run("RESUME")


@pytest.mark.parametrize(
    ("users", "databases", "fits"),
    [(1, 1, True), (2, 1, True), (3, 1, False), (1, 2, True), (2, 2, False)],
)
def test_pool_of_every_user_in_every_database_counts_in_the_sum(
    value: Callable[..., Any], users: int, databases: int, fits: bool
) -> None:
    rules = yaml.safe_load((ROOT / "roles/pgbouncer/meta/preflight.yml").read_text())["rules"]
    rule = next(rule["that"] for rule in rules if rule["variable"] == "pgbouncer_default_pool_size")
    given = {
        "pgbouncer_pooled_users": [f"user{number}" for number in range(users)],
        "pgbouncer_databases": [{"name": f"db{number}", "owner": "o"} for number in range(databases)],
    }
    # 30 for each pair, 5 for look-ups, 20 direct ones and 3 of the superuser's, of 100.
    assert value("pgbouncer", rule.strip().strip("{}"), **INVENTORY, **given) is fits


def test_users_are_looked_up_among_the_pooled_ones_only(value: Callable[..., Any]) -> None:
    names = ["shop_app", "o'brien"]
    (database,) = value("pgbouncer", "__pgbouncer_lookups", **INVENTORY, pgbouncer_pooled_users=names)
    (lookup,) = database["functions"]
    assert "usename IN ('shop_app', 'o''brien') AND NOT usesuper" in lookup["body"]


def test_changed_pool_takes_a_reload(pooler: Pooler) -> None:
    pooler.start()
    pooler.write(pgbouncer_default_pool_size=7)
    pooler.console().run("RELOAD")
    assert pooler.settings()["default_pool_size"] == "7"


def test_pooler_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        console = Console(host="127.0.0.1", port=port, user="a", password="b", unit="pgbouncer.service")
        with pytest.raises(ConsoleError, match=r"PAUSE on pgbouncer.service did not finish within 0.5 s"):
            console.run("PAUSE", timeout=0.5)


def test_secrets_are_in_the_list_of_users_only(render: Render) -> None:
    secrets = [value for name, value in INVENTORY.items() if name.endswith("password")]
    for template in ("bundle.conf.j2", "listen.ini.j2", "pgbouncer.ini.j2"):
        text = render("pgbouncer", template, **INVENTORY)
        assert [secret for secret in secrets if secret in text] == []


def test_drop_in_allows_the_files_that_all_clients_need(render: Render) -> None:
    assert "LimitNOFILE=4096\n" in render("pgbouncer", "bundle.conf.j2", **INVENTORY)
    assert "LimitNOFILE=21000\n" in render(
        "pgbouncer", "bundle.conf.j2", **INVENTORY, pgbouncer_max_client_conn=10000
    )
