"""What each role asks of a host before anything is touched: a requirement that is lost is missed by nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from role_files import ROLES, ROOT, all_options, nothing, read

# What a role has to ask for: its ports by variable, the paths in which it needs space, and least memory in MB.
PORTS = {
    "api": {"api_colour_ports.blue", "api_colour_ports.green"},
    "backup": {"backup_port"},
    "haproxy": {"haproxy_http_port", "haproxy_https_port", "haproxy_metrics_port"},
    "pgbouncer": {"pgbouncer_port"},
    "postgresql": {"postgresql_port"},
}
SPACE = {
    "base": {"/usr", "/var", "/var/cache/apt"},
    "postgresql": {"/usr", "/var/cache/apt", "{{ postgresql_data_directory }}"},
}
MEMORY = {"api": 400, "postgresql": 900}
RULES = {
    "api": {"api_schedules"},
    "backup": {
        "backup_hosts",
        "backup_s3_bucket",
        "backup_s3_ca",
        "backup_schedule",
        "backup_retention_days",
        "backup_processes",
    },
    "base": {"base_ssh_sources"},
    "haproxy": {
        *("haproxy_live_colours", "haproxy_certificate_key", "haproxy_private_paths"),
        "haproxy_hard_stop_after",
    },
    "pgbouncer": {"pgbouncer_default_pool_size", "pgbouncer_max_client_conn"},
    "postgresql": {"postgresql_memory_mb"},
}
# SSH's, which is there already: Ansible came that way. And an object store's, which is elsewhere.
NOT_LISTENED_ON = {"base_ssh_port", "backup_s3_port"}
each_role = pytest.mark.parametrize("role", ROLES)


def asked(role: str) -> dict[str, Any]:
    """The role's meta/preflight.yml; empty for one that asks for nothing."""
    path = ROOT / "roles" / role / "meta" / "preflight.yml"
    return dict(read(path)) if path.is_file() else {}


def test_every_role_that_changes_a_host_asks_for_debian_12() -> None:
    # The conductor does nothing on a host that the roles it calls do not do.
    wrong = [
        role
        for role in ROLES
        if role != "deploy" and asked(role).get("os") != {"distribution": "Debian", "major": 12}
    ]
    nothing(wrong)


@each_role
def test_role_asks_for_each_of_its_ports(role: str) -> None:
    ports = asked(role).get("ports", [])
    assert {port["variable"] for port in ports} >= PORTS.get(role, set())
    for port in ports:
        assert port["variable"] in port["port"], "the port that is looked at is another one"


@each_role
def test_port_option_of_a_role_is_looked_at(role: str) -> None:
    options = {
        name for name, option in all_options(role) if name.endswith("_port") and option["type"] == "int"
    }
    known = {port["variable"] for port in asked(role).get("ports", [])} | NOT_LISTENED_ON
    # Another role's server, of which this one is a client.
    known |= {f"{role}_{other}_port" for other in ROLES}
    nothing(sorted(options - known), "add it to ports in meta/preflight.yml")


@each_role
def test_port_belongs_to_a_unit(role: str) -> None:
    wrong = [
        port["variable"]
        for port in asked(role).get("ports", [])
        if not str(port.get("unit", "")).endswith(".service")
    ]
    nothing(wrong, "any program of the same name would be taken for the role's own")


@each_role
def test_role_asks_for_space(role: str) -> None:
    assert {item["path"] for item in asked(role).get("space", [])} >= SPACE.get(role, set())


@each_role
def test_role_asks_for_memory(role: str) -> None:
    wanted = asked(role).get("memory_mb")
    assert wanted == MEMORY.get(role, wanted)


@each_role
def test_role_has_its_rules(role: str) -> None:
    assert {rule["variable"] for rule in asked(role).get("rules", [])} >= RULES.get(role, set())


def test_every_host_has_to_run_systemd() -> None:
    assert asked("base")["systemd"] is True


def test_release_asks_for_the_machine_and_the_python_that_it_is_built_for() -> None:
    wanted = asked("release")
    assert wanted["architecture"] == ["{{ release_architecture }}"]
    assert wanted["python"] == ["{{ release_python }}"]


def test_release_asks_for_its_source_and_for_the_space_to_stage_it() -> None:
    wanted = asked("release")["release"]
    source = {"repository", "ref", "folder", "lock", "alembic", "project"}
    assert set(wanted) == source | {"python", "architecture", "driver", "staging"}
    assert wanted["staging"]["path"] == "{{ release_root }}/releases"
    assert wanted["staging"]["free_mb"] == "{{ release_free_space_mb }}"
