"""What role postgresql writes, read by PostgreSQL 15 itself: settings, access rules in their order, users' names."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
INVENTORY: dict[str, Any] = {
    "bundle_postgresql_port": 5432,
    "bundle_max_connections": 100,
    "bundle_archive_command": "pgbackrest --stanza=shop archive-push %p",
    "bundle_database": "shop",
    "bundle_owner_role": "shop_owner",
    "bundle_migrator_user": "shop_migrator",
    "bundle_app_user": "shop_app",
    "bundle_readonly_user": "shop_readonly",
    "bundle_monitor_user": "shop_monitor",
    "bundle_backup_user": "shop_backup",
    "bundle_pgbouncer_auth_user": "pgbouncer_auth",
    "bundle_addresses_of_api": ["10.1.0.20", "fd00::20"],
    "bundle_addresses_of_backup": ["10.1.0.41"],
    "bundle_poolers_of_database_host": [],
    "ansible_facts": {"memtotal_mb": 4096, "processor_vcpus": 2},
}


def as_postgres(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as the user postgres, where these tests run as root: the server refuses root."""
    change = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*change, *command], check=True, capture_output=True, text=True, cwd="/", **more)


class Server:
    """A PostgreSQL 15 of this module's own, on a socket only."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.socket = directory

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a statement by column."""
        wrapped = f"SELECT coalesce(json_agg(row), '[]') FROM ({statement}) row"
        psql = ["psql", "-XAt", "-h", str(self.socket), "-d", "postgres", "-c", wrapped]
        found: list[dict[str, Any]] = json.loads(as_postgres(*psql).stdout)
        return found

    def rules(self, text: str) -> list[dict[str, Any]]:
        """Return how the server understands a pg_hba.conf."""
        (self.data / "pg_hba.conf").write_text(text)
        return self.rows("SELECT * FROM pg_hba_file_rules ORDER BY line_number")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert PROGRAMS.exists(), "these tests need PostgreSQL 15: apt-get install postgresql-15"
    # In /tmp and not in pytest's directory, which other users cannot enter and whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        server = Server(directory)
        as_postgres(PROGRAMS / "initdb", "-D", server.data, "--auth=trust", "--no-sync", "--no-instructions")
        # Without TLS the server finds fault with every rule that asks for it.
        request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=db"
        files: list[str | Path] = ["-keyout", server.data / "server.key", "-out", server.data / "server.crt"]
        as_postgres("openssl", *request.split(), *files)
        control: list[str | Path] = [PROGRAMS / "pg_ctl", "-D", server.data, "-l", directory / "log", "-w"]
        as_postgres(*control, "-o", f"-c listen_addresses= -k {directory} -c fsync=off -c ssl=on", "start")
        yield server
        as_postgres(*control, "-m", "immediate", "stop")


def value_of(render: Render, directory: Path, name: str, **variables: Any) -> str:
    """Return a setting as the server reads it from bundle.conf, in the way that the role validates the file."""
    file = directory / "bundle.conf"
    file.write_text(render("postgresql", "bundle.conf.j2", **INVENTORY | variables))
    program = str(PROGRAMS / "postgres")
    command = [program, "-C", name, "-D", str(directory), "-c", f"config_file={file}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize("workload", ["web", "oltp", "mixed", "warehouse"])
@pytest.mark.parametrize("storage", ["ssd", "hdd", "san"])
def test_server_takes_the_settings(render: Render, tmp_path: Path, workload: str, storage: str) -> None:
    chosen = {"postgresql_workload": workload, "postgresql_storage": storage}
    assert value_of(render, tmp_path, "password_encryption", **chosen) == "scram-sha-256"


def test_inventory_has_the_last_word(render: Render, tmp_path: Path) -> None:
    chosen = {"postgresql_settings": {"work_mem": "7MB", "log_lock_waits": False, "max_connections": 77}}
    assert value_of(render, tmp_path, "work_mem", **chosen) == "7168"
    assert value_of(render, tmp_path, "log_lock_waits", **chosen) == "off"
    assert value_of(render, tmp_path, "max_connections", **chosen) == "77"


@pytest.mark.parametrize(
    "value", ["it's", "back\\slash", "\\n", "'; --", '"quoted"', "a # b", "%m [%p] $x", "\\'", "é", ""]
)
def test_setting_reaches_the_server_as_it_was_given(render: Render, tmp_path: Path, value: str) -> None:
    chosen = {"postgresql_settings": {"bundle.note": value}}
    assert value_of(render, tmp_path, "bundle.note", **chosen) == value


def test_same_inventory_renders_the_same_settings(render: Render) -> None:
    texts = {render("postgresql", "bundle.conf.j2", **INVENTORY) for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize("template", ["bundle.conf.j2", "pg_hba.conf.j2", "pg_ident.conf.j2"])
def test_no_password_is_asked_for(render: Render, template: str) -> None:
    assert render("postgresql", template, **INVENTORY)  # the secrets are not among the variables given


def test_server_takes_every_rule_of_the_role(render: Render, server: Server) -> None:
    rules = server.rules(render("postgresql", "pg_hba.conf.j2", **INVENTORY))
    assert [rule["error"] for rule in rules] == [None] * 7
    assert [(rule["type"], rule["address"], rule["auth_method"]) for rule in rules] == [
        ("local", None, "peer"),
        ("local", None, "scram-sha-256"),
        ("host", "127.0.0.1", "scram-sha-256"),
        ("host", "::1", "scram-sha-256"),
        ("hostssl", "10.1.0.20", "scram-sha-256"),
        ("hostssl", "fd00::20", "scram-sha-256"),
        ("hostssl", "10.1.0.41", "scram-sha-256"),
    ]


def test_other_hosts_reach_the_products_database_only_as_its_roles_and_with_tls(
    render: Render, server: Server
) -> None:
    rules = server.rules(render("postgresql", "pg_hba.conf.j2", **INVENTORY))
    outside = [rule for rule in rules if rule["address"] not in (None, "127.0.0.1", "::1")]
    assert {rule["type"] for rule in outside} == {"hostssl"}
    assert [rule["database"] for rule in outside] == [["shop"]] * 3
    roles = ["shop_migrator", "shop_app", "shop_readonly"]
    assert [rule["user_name"] for rule in outside] == [roles, roles, ["shop_backup"]]


def test_nobody_comes_in_without_a_secret_or_an_operating_systems_user(
    render: Render, server: Server
) -> None:
    rules = server.rules(render("postgresql", "pg_hba.conf.j2", **INVENTORY))
    assert {rule["auth_method"] for rule in rules} <= {"peer", "scram-sha-256"}
    assert [rule["options"] for rule in rules if rule["auth_method"] == "peer"] == [["map=bundle"]]


@pytest.mark.parametrize(
    ("address", "mask", "expected"),
    [
        ("10.1.2.3", "255.255.255.255", "10.1.2.3"),
        ("10.0.0.0/8", "255.0.0.0", "10.0.0.0"),
        ("fd00::7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::7"),
        ("fd00::/64", "ffff:ffff:ffff:ffff::", "fd00::"),
        ("samenet", None, "samenet"),
        ("all", None, "all"),
        ("db.example.org", None, "db.example.org"),
        (".example.org", None, ".example.org"),
    ],
)
def test_rule_may_name_an_address_a_network_or_a_host(
    render: Render, server: Server, address: str, mask: str | None, expected: str
) -> None:
    extra = {
        "order": 50,
        "type": "hostssl",
        "database": "shop",
        "user": "shop_app",
        "method": "scram-sha-256",
    }
    rule = extra | {"address": address, "comment": "Another"}
    rules = server.rules(
        render("postgresql", "pg_hba.conf.j2", **INVENTORY, postgresql_extra_hba_rules=[rule])
    )
    assert (rules[-1]["error"], rules[-1]["address"], rules[-1]["netmask"]) == (None, expected, mask)


def test_rules_stand_in_their_order_wherever_they_come_from(render: Render, server: Server) -> None:
    extra = [
        {
            "order": order,
            "type": "local",
            "database": "all",
            "user": user,
            "method": "reject",
            "comment": user,
        }
        for order, user in ((99, "last"), (5, "first"), (25, "between"))
    ]
    rules = server.rules(
        render("postgresql", "pg_hba.conf.j2", **INVENTORY, postgresql_extra_hba_rules=extra)
    )
    users = [rule["user_name"][0] for rule in rules]
    assert users[:4] == ["first", "postgres", "all", "between"]
    assert users[-1] == "last"


def test_list_of_no_addresses_lets_nobody_in(render: Render, server: Server) -> None:
    rules = server.rules(
        render(
            "postgresql",
            "pg_hba.conf.j2",
            **INVENTORY | {"bundle_addresses_of_api": [], "bundle_addresses_of_backup": []},
        )
    )
    assert [rule["type"] for rule in rules] == ["local", "local", "host", "host"]


def test_root_and_postgres_of_the_host_are_the_superuser_and_nobody_else(
    render: Render, server: Server
) -> None:
    (server.data / "pg_ident.conf").write_text(render("postgresql", "pg_ident.conf.j2", **INVENTORY))
    names = server.rows("SELECT map_name, sys_name, pg_username, error FROM pg_ident_file_mappings")
    assert [tuple(row.values()) for row in names] == [
        ("bundle", "postgres", "postgres", None),
        ("bundle", "root", "postgres", None),
    ]
