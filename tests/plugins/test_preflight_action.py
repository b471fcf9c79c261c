"""Bad input of every class, found by a real ansible-playbook on this machine before anything is touched."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import host_probe
import pytest
from ansible.module_utils.release_source import find_source
from preflight_site import STRONG, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        free_port = server.getsockname()[1]
    site = Site(tmp_path)
    site.variables["shop_port"] = free_port
    return site


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "product"
    (folder / "backend").mkdir(parents=True)
    (folder / "backend" / "requirements.lock").write_text("alembic==1.14 --hash=sha256:47\n")
    git = ["git", "-C", str(folder), "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "First"],
        ["tag", "v1.0"],
    ):
        subprocess.run([*git, *arguments], check=True)
    return folder


POOLS = {
    "that": "shop_pool * 2 <= bundle_max_connections",
    "variable": "shop_pool",
    "value": "{{ shop_pool }}",
    "allowed": "two pools must fit into max_connections {{ bundle_max_connections }}.",
    "fix": "Lower it, or raise bundle_max_connections.",
}


def test_good_input_passes_and_the_next_play_runs(site: Site) -> None:
    site.requirements = {
        "memory_mb": 1,
        "space": [{"path": "/var/lib/shop", "free_mb": 1}],
        "ports": [{"port": "{{ shop_port }}", "process": "shop", "variable": "shop_port"}],
        "rules": [POOLS],
    }
    run = site.run()
    assert run.returncode == 0, run.output
    assert run.problems() == []
    assert site.touched


def test_reference_to_a_fact_is_followed(site: Site) -> None:
    site.gather_facts = True
    site.variables["shop_pool"] = "{{ ansible_facts['processor_nproc'] }}"
    assert site.run().problems() == []


def test_passed_roles_are_remembered_as_a_fact(site: Site) -> None:
    run = site.run()
    facts = run.results("preflight | Remember which roles have passed")["one"]["ansible_facts"]
    assert facts == {"preflight_passed_roles": ["shop"]}


NO_SPACE = [{"path": "/var/lib/shop", "free_mb": 10**9, "variable": "shop_space"}]
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "missing secret": ({"vault_shop_password": None}, {}, "vault_shop_password", "scripts/secrets shelf"),
    "weak secret": ({"vault_shop_password": "changeme"}, {}, "vault_shop_password", "too weak"),
    "wrong type": ({"shop_port": "ten"}, {}, "shop_port", "must be a whole number"),
    "not among the choices": ({"shop_mode": "wild"}, {}, "shop_mode", "must be one of fast, safe"),
    "undefined reference": ({"shop_mode": "{{ bundle_mode }}"}, {}, "bundle_mode", "needed by shop_mode"),
    "pools too large": ({"shop_pool": 60}, {"rules": [POOLS]}, "shop_pool", "max_connections 100"),
    "no space": ({}, {"space": NO_SPACE}, "shop_space", "1000000000 MB for shop below /var/lib/shop"),
    "too little memory": ({}, {"memory_mb": 10**8}, "memory", "at least 100000000 MB"),
    "wrong system": (
        {},
        {"os": {"distribution": "Plan9", "major": 4}},
        "operating system",
        "must be Plan9 4",
    ),
    "unknown repository": (
        {},
        {"release": {"repository": "/nowhere", "ref": "v9"}},
        "shop_repository",
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("variables", "requirements", "variable", "words"), BAD.values(), ids=BAD.keys())
def test_one_bad_input_stops_the_run_before_anything_is_touched(
    site: Site, variables: dict[str, Any], requirements: dict[str, Any], variable: str, words: str
) -> None:
    merged = site.variables | variables
    site.variables = {name: value for name, value in merged.items() if value is not None}
    site.requirements = requirements
    run = site.run()
    assert run.returncode != 0
    assert [problem["variable"] for problem in run.problems()] == [variable]
    assert words in run.report
    assert not site.touched


def test_port_that_another_program_listens_on_is_a_conflict(site: Site, listening_port: int) -> None:
    site.variables["shop_port"] = listening_port
    site.requirements = {"ports": [{"port": "{{ shop_port }}", "process": "shop", "variable": "shop_port"}]}
    run = site.run()
    assert [problem["value"] for problem in run.problems()] == [str(listening_port)]
    assert "listens there" in run.report
    assert not site.touched


def test_port_that_the_role_s_own_program_listens_on_is_no_conflict(site: Site, listening_port: int) -> None:
    own = Path("/proc/self/comm").read_text().strip()
    site.variables["shop_port"] = listening_port
    site.requirements = {"ports": [{"port": "{{ shop_port }}", "process": own, "variable": "shop_port"}]}
    assert site.run().problems() == []


def test_unknown_ref_is_answered_with_the_newest_tags(site: Site, repository: Path) -> None:
    site.requirements = {
        "release": {
            "repository": str(repository),
            "ref": "v9",
            "folder": "backend",
            "lock": "requirements.lock",
        }
    }
    run = site.run()
    assert [(problem["variable"], problem["value"]) for problem in run.problems()] == [("shop_ref", '"v9"')]
    assert "newest tags: v1.0" in run.report
    assert not site.touched


def test_space_for_a_release_is_asked_for_until_this_very_release_is_there(
    site: Site, repository: Path, tmp_path: Path
) -> None:
    names = {"folder": "backend", "lock": "requirements.lock", "python": "3.11", "architecture": "x86_64"}
    releases = tmp_path / "srv" / "releases"
    site.requirements = {
        "release": {
            "repository": str(repository),
            "ref": "main",
            "staging": {"path": str(releases), "free_mb": 10**9, "variable": "shop_space"},
            **names,
        }
    }
    # An older one serves already.
    (releases / "5c64269acee7").mkdir(parents=True)
    (releases / "5c64269acee7" / "manifest.json").touch()
    assert [problem["variable"] for problem in site.run().problems()] == ["shop_space"]
    source = find_source(str(repository), "main", "backend", "requirements.lock", cache=tmp_path)
    staged = releases / source.identity(python="3.11", architecture="x86_64")
    staged.mkdir()
    (staged / "manifest.json").touch()
    assert site.run().problems() == []


def test_memory_of_all_roles_of_a_host_is_added_up(site: Site) -> None:
    memory_mb = host_probe.read_memory_mb(Path("/proc/meminfo").read_text())
    site.write_role("stall", {}, {}, {"memory_mb": memory_mb // 2 + 1})
    site.requirements = {"memory_mb": memory_mb // 2 + 1}
    assert site.run().problems() == []
    site.roles = ["shop", "stall"]
    [problem] = site.run().problems()
    assert (problem["role"], problem["value"]) == ("shop, stall", f"{memory_mb} MB")


def test_all_bad_input_of_all_hosts_is_in_one_list(site: Site, listening_port: int, repository: Path) -> None:
    site.host_variables = {"one": {}, "two": {"shop_mode": "wild", "bundle_mode": "x"}}
    site.variables = {
        "bundle_max_connections": 100,
        "shop_mode": "{{ bundle_mode }}",
        "shop_port": listening_port,
        "shop_pool": 60,
        "shop_password": "postgres",
        "stall_password": "{{ vault_stall_password }}",
        "stall_width": "wide",
    }
    site.roles = ["shop", "stall"]
    site.gather_facts = True
    site.write_role(
        "stall",
        {
            "stall_password": {"type": "str", "required": True, "no_log": True, "description": "Secret."},
            "stall_width": {"type": "int", "description": "Width in cm."},
        },
        {},
    )
    site.requirements = {
        "os": {"distribution": "Plan9", "major": 4},
        "memory_mb": 10**8,
        "ports": [{"port": "{{ shop_port }}", "process": "shop", "variable": "shop_port"}],
        "space": [{"path": "/var/lib/shop", "free_mb": 10**9}],
        "rules": [POOLS],
        "release": {"repository": str(repository), "ref": "v9", "folder": "backend"},
    }
    run = site.run()
    assert run.returncode != 0
    lines = run.report.splitlines()
    assert lines[0] == f"{len(lines) - 1} problems found before anything was touched:"
    subjects = {line.split(". ", 1)[1].split(" = ")[0] for line in lines[1:]}
    # Others write to the disk meanwhile: hosts with another figure have a line of their own.
    space = {subject for subject in subjects if "free space" in subject}
    assert {subject.split(": ", 1)[1] for subject in space} == {"shop: free space below /var/lib/shop"}
    assert subjects - space == {
        "one: shop: bundle_mode",
        "two: shop: shop_mode",
        "one, two: stall: vault_stall_password",
        "one, two: stall: stall_width",
        "one, two: shop: shop_password",
        "one, two: shop: operating system",
        "one, two: shop: memory",
        "one, two: shop: shop_port",
        "one, two: shop: shop_pool",
        "one, two: shop: shop_ref",
    }
    assert not site.touched


def test_check_mode_finds_the_same(site: Site) -> None:
    site.variables["shop_pool"] = 60
    site.requirements = {"rules": [POOLS], "memory_mb": 10**8}
    assert site.run("--check").problems() == site.run().problems() != []


def test_secret_value_is_nowhere_in_the_output(site: Site) -> None:
    weak = "admin-admin-admin-admin"
    site.variables |= {"vault_shop_password": weak, "shop_mode": f"postgresql://shop:{weak}@db/shop"}
    run = site.run("-vvv")
    assert [problem["variable"] for problem in run.problems()] == ["shop_mode", "vault_shop_password"]
    assert weak not in run.report
    assert weak not in str(run.problems())


def test_weak_secret_inside_a_url_or_an_environment_is_found(site: Site) -> None:
    site.spec |= {
        "shop_url": {"type": "str", "no_log": True, "description": "URL of the database."},
        "shop_environment": {"type": "dict", "no_log": True, "description": "Environment of the shop."},
    }
    site.variables |= {
        "bundle_url": "postgresql://shop:{{ vault_database_password }}@db/shop",
        "shop_url": "{{ bundle_url }}",
        "vault_database_password": "letmein",
        "shop_environment": {"TOKEN": "{{ vault_token }}"},
        "vault_token": "secretsecretsecret",
    }
    variables = {problem["variable"] for problem in site.run().problems()}
    assert variables == {"vault_database_password", "vault_token"}


def test_wrong_entry_of_a_list_is_found_beside_one_that_needs_a_missing_secret(site: Site) -> None:
    site.spec["shop_users"] = {
        "type": "list",
        "elements": "dict",
        "description": "Who may log in.",
        "options": {
            "name": {"type": "str", "required": True, "description": "Name."},
            "password": {"type": "str", "no_log": True, "description": "Secret."},
        },
    }
    site.variables["shop_users"] = [
        {"name": "one", "password": "{{ vault_one }}"},
        {"name": "two", "password": "{{ vault_two }}"},
        {"password": STRONG},
    ]
    run = site.run()
    assert {problem["variable"] for problem in run.problems()} == {"vault_one", "vault_two", "shop_users"}
    assert "missing required arguments: name" in run.report
    assert STRONG not in run.report


def test_value_that_is_left_out_counts_as_not_set(site: Site) -> None:
    site.spec["shop_note"] = {"type": "str", "description": "Note."}
    site.variables["shop_note"] = "{{ omit }}"
    assert site.run().problems() == []


def test_two_secrets_with_one_value_are_refused(site: Site) -> None:
    site.spec["shop_admin_password"] = SPEC_OF_A_SECRET
    site.variables |= {"shop_admin_password": "{{ vault_admin_password }}", "vault_admin_password": STRONG}
    run = site.run()
    assert len(run.problems()) == 1
    assert "same value" in run.report
    assert STRONG not in run.report


def test_one_vault_secret_may_serve_two_options(site: Site) -> None:
    site.spec["shop_admin_password"] = SPEC_OF_A_SECRET
    site.variables["shop_admin_password"] = "{{ vault_shop_password }}"
    assert site.run().problems() == []


def test_role_fails_by_itself_when_asked_to(site: Site) -> None:
    site.variables["shop_mode"] = "wild"
    own = {"hosts": "all", "gather_facts": False, "tasks": [{"preflight": {"roles": ["shop"], "fail": True}}]}
    run = site.run(plays=[own])
    assert run.returncode != 0
    assert "1 problem found before anything was touched" in run.output
    assert not site.touched


def test_host_is_checked_for_the_roles_of_its_groups_only(site: Site) -> None:
    site.host_variables = {"one": {}, "two": {}}
    site.groups = {"database": ["two"]}
    site.write_role("stall", {"stall_width": {"type": "int", "required": True, "description": "In cm."}}, {})
    by_group = {"all": ["shop"], "database": ["stall"], "api": ["nowhere"]}
    own = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"name": "look", "preflight": {"roles_by_group": by_group}}],
    }
    results = site.run(plays=[own]).results("look")
    assert results["one"]["passed_roles"] == ["shop"]
    assert [problem["variable"] for problem in results["two"]["problems"]] == ["stall_width"]


def test_unknown_role_is_answered_with_the_roles_there_are(site: Site) -> None:
    own = {"hosts": "all", "gather_facts": False, "tasks": [{"preflight": {"roles": ["shoo"]}}]}
    run = site.run(plays=[own])
    assert run.returncode != 0
    assert 'role \\"shoo\\" is not in' in run.output
    assert "roles there: shop" in run.output


SPEC_OF_A_SECRET = {"type": "str", "required": True, "no_log": True, "description": "Secret of the admin."}
