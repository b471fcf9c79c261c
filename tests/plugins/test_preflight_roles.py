"""What is read of a role's files, and the list that a person gets, without Ansible running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.module_utils.preflight_roles import RoleError, find_role, read_role
from preflight_report import preflight_report


def load(path: str) -> Any:
    return yaml.safe_load(Path(path).read_text())


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    def write(name: str, content: object) -> None:
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))

    port = {"shop_port": {"type": "int"}}
    item = {"shop_item": {"type": "str", "required": True}}
    write(
        "meta/argument_specs.yml", {"argument_specs": {"main": {"options": port}, "sell": {"options": item}}}
    )
    write("defaults/main.yml", {"shop_port": 80})
    write("meta/preflight.yml", {"memory_mb": 1})
    (tmp_path / "bare").mkdir()
    return tmp_path


def test_entry_point_main_is_read_unless_others_are_named(roles: Path) -> None:
    role = read_role("shop", [roles], load)
    assert (list(role.options), role.defaults, role.requirements) == (
        ["shop_port"],
        {"shop_port": 80},
        {"memory_mb": 1},
    )


def test_named_entry_points_are_read_together(roles: Path) -> None:
    assert set(read_role("shop", [roles], load, ["main", "sell"]).options) == {"shop_port", "shop_item"}


def test_unknown_entry_point_is_answered_with_those_there_are(roles: Path) -> None:
    with pytest.raises(RoleError, match="it has main, sell"):
        read_role("shop", [roles], load, ["buy"])


def test_role_without_files_declares_nothing(roles: Path) -> None:
    assert read_role("bare", [roles], load).options == {}


def test_role_of_the_first_folder_is_taken(roles: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "shop").mkdir()
    assert find_role("shop", [other / "missing", other, roles]) == other / "shop"


def test_file_that_holds_no_mapping_is_named(roles: Path) -> None:
    (roles / "shop" / "defaults" / "main.yml").write_text("[1]")
    with pytest.raises(RoleError, match=r"defaults/main\.yml holds a list"):
        read_role("shop", [roles], load)


def test_host_that_was_not_looked_at_is_an_error_and_not_a_pass() -> None:
    with pytest.raises(AnsibleFilterError, match='host "two" has no result'):
        preflight_report(["one", "two"], {"one": {"preflight": {"problems": []}}, "two": {}})


def test_report_takes_the_result_under_another_name() -> None:
    assert preflight_report(["one"], {"one": {"seen": {"problems": []}}}, register="seen") == ""
