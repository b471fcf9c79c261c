"""What roles ask of a host, against facts of a host that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils import requirements
from ansible.module_utils.preflight_problem import Problem
from ansible.module_utils.requirements import Port, RequirementError, Space

PROBE: dict[str, Any] = {
    "os": {
        "id": "debian",
        "name": "Debian GNU/Linux",
        "pretty_name": "Debian GNU/Linux 12 (bookworm)",
        "major": 12,
    },
    "architecture": "x86_64",
    "python": "3.11.2",
    "init": "systemd",
    "systemd": True,
    "cpus": 2,
    "memory_mb": 1968,
    "listening": [],
    "space": {},
}


def listener(port: int, address: str = "0.0.0.0", process: str = "nginx", unit: str = "") -> dict[str, Any]:
    return {"port": port, "address": address, "process": process, "pid": 7, "unit": unit}


@pytest.mark.parametrize(
    "wanted",
    [{"distribution": "Debian", "major": 12}, {"distribution": "debian", "major": [12, 13]}, {"major": "12"}],
)
def test_right_system_is_accepted(wanted: dict[str, Any]) -> None:
    assert requirements.check_os("shop", wanted, PROBE) == []


@pytest.mark.parametrize("wanted", [{"distribution": "Debian", "major": 13}, {"distribution": "Ubuntu"}])
def test_wrong_system_is_named(wanted: dict[str, Any]) -> None:
    [problem] = requirements.check_os("shop", wanted, PROBE)
    assert problem.value == "Debian GNU/Linux 12 (bookworm)"


def test_port_that_this_host_does_not_use_is_not_asked_for() -> None:
    wanted = [{"port": 8432, "when": False}, {"port": 5432, "when": True}, {"port": 443}]
    ports, problems = requirements.read_ports("shop", wanted)
    assert ([port.port for port in ports], problems) == ([5432, 443], [])


@pytest.mark.parametrize(
    ("wanted", "variable"),
    [
        ({"architecture": ["aarch64"]}, "architecture"),
        ({"python": ["3.12"]}, "python"),
        ({"cpus": 4}, "CPUs"),
        ({"systemd": True}, "init system"),
    ],
)
def test_every_simple_requirement_is_checked(wanted: dict[str, Any], variable: str) -> None:
    probe = PROBE | {"systemd": False, "init": "sh"}
    assert [problem.variable for problem in requirements.check_simple("shop", wanted, probe)] == [variable]


def test_simple_requirements_that_hold_are_silent() -> None:
    wanted = {"architecture": "x86_64", "python": "3.11", "cpus": 2, "systemd": True}
    assert requirements.check_simple("shop", wanted, PROBE) == []


def memory_problems(*wanted: Any) -> list[Problem]:
    """What is wrong where a role asks for each of `wanted`: one shop after the other."""
    read = [requirements.read_memory(f"shop{number}", asked) for number, asked in enumerate(wanted, 1)]
    assert [problems for _, problems in read if problems] == []
    found: list[Problem] = requirements.check_memory(
        [item for asked, _ in read for item in asked], PROBE["memory_mb"]
    )
    return found


@pytest.mark.parametrize("wanted", [1968, "900", {"minimum": 4000, "available": 5000}, None])
def test_enough_memory_is_accepted(wanted: Any) -> None:
    assert memory_problems(wanted) == []


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (2000, "1968 MB"),
        ({"minimum": 900, "available": 512}, "512 MB"),
        ({"minimum": 2000, "available": 0}, "1968 MB"),
    ],
)
def test_too_little_memory_is_told_in_mb(wanted: Any, value: str) -> None:
    [problem] = memory_problems(wanted)
    assert problem.value == value


def test_memory_of_all_roles_of_a_host_is_added_up() -> None:
    [problem] = memory_problems(1000, 969)
    assert problem.role == "shop1, shop2"
    assert "at least 1969 MB (1000 MB for shop1, 969 MB for shop2)" in problem.allowed
    assert memory_problems(1000, 968) == []


def test_memory_of_a_role_s_own_share_is_not_added_to_the_host_s() -> None:
    assert memory_problems(1900, {"minimum": 900, "available": 1000}) == []


def test_memory_that_is_no_number_is_a_problem() -> None:
    asked, [problem] = requirements.read_memory("shop", "1 GB")
    assert asked == []
    assert "number of MB" in problem.allowed


@pytest.mark.parametrize("port", ["http", 0, 65536, None, True])
def test_what_is_no_port_is_refused(port: Any) -> None:
    ports, [problem] = requirements.read_ports("shop", [{"port": port, "variable": "shop_port"}])
    assert ports == []
    assert "1 to 65535" in problem.allowed


@pytest.mark.parametrize(
    ("port", "found"),
    [
        (Port("shop", "shop_port", 80), listener(80)),
        (Port("shop", "shop_port", 80, "10.0.0.1"), listener(80)),
        (Port("shop", "shop_port", 80, "10.0.0.1"), listener(80, "::")),
        (Port("shop", "shop_port", 80), listener(80, "127.0.0.1")),
        (Port("shop", "shop_port", 80, owners=("shop",)), listener(80, process="shopkeeper")),
        (Port("shop", "shop_port", 80, owners=("shop",)), listener(80, process="")),
    ],
)
def test_port_of_another_program_is_a_conflict(port: Port, found: dict[str, Any]) -> None:
    assert len(requirements.check_ports([port], [found])) == 1


@pytest.mark.parametrize(
    ("port", "found"),
    [
        (Port("shop", "shop_port", 80), listener(81)),
        (Port("shop", "shop_port", 80, "10.0.0.1"), listener(80, "127.0.0.1")),
        (Port("shop", "shop_port", 80, owners=("nginx", "shop")), listener(80)),
        (
            Port("shop", "shop_port", 80, owners=("a-very-long-program",)),
            listener(80, process="a-very-long-pro"),
        ),
        (Port("shop", "shop_port", 80, owners=("shop.service",)), listener(80, unit="shop.service")),
    ],
)
def test_port_that_is_free_or_our_own_is_no_conflict(port: Port, found: dict[str, Any]) -> None:
    assert requirements.check_ports([port], [found]) == []


def test_two_roles_that_want_one_port_are_a_conflict_that_names_both() -> None:
    [problem] = requirements.check_ports([Port("shop", "shop_port", 80), Port("stall", "stall_port", 80)], [])
    assert "shop_port of shop" in problem.allowed
    assert problem.variable == "stall_port"


def test_one_port_on_two_addresses_is_no_conflict() -> None:
    ports = [Port("shop", "a", 80, "10.0.0.1"), Port("shop", "b", 80, "127.0.0.1")]
    assert requirements.check_ports(ports, []) == []


def file_system(free_mb: int, device: int = 1, mount: str = "/", exists: bool = False) -> dict[str, Any]:
    return {"device": device, "mount": mount, "free_mb": free_mb, "exists": exists}


def test_space_of_all_roles_on_one_file_system_is_added_up() -> None:
    asked = [Space("shop", "/a", 60, "a_mb"), Space("stall", "/b", 60, "b_mb")]
    [problem] = requirements.check_space(asked, {"/a": file_system(100), "/b": file_system(100)})
    assert problem.role == "shop, stall"
    assert problem.value == "100 MB free on /"
    assert "120 MB (60 MB for shop below /a, 60 MB for stall below /b)" in problem.allowed


def test_space_on_two_file_systems_is_not_added_up() -> None:
    asked = [Space("shop", "/a", 60, "a_mb"), Space("stall", "/b", 60, "b_mb")]
    space = {"/a": file_system(100), "/b": file_system(100, device=2)}
    assert requirements.check_space(asked, space) == []


def test_space_is_not_asked_for_again_once_it_was_used() -> None:
    space = {"/a": file_system(1), "/a/marker": file_system(1, exists=True)}
    assert requirements.check_space([Space("shop", "/a", 60, "a_mb", unless="/a/marker")], space) == []
    space["/a/marker"]["exists"] = False
    assert len(requirements.check_space([Space("shop", "/a", 60, "a_mb", unless="/a/marker")], space)) == 1


def test_amount_that_is_no_number_is_a_problem() -> None:
    asked, [problem] = requirements.read_space("shop", [{"path": "/a", "free_mb": "1 GB"}])
    assert asked == []
    assert "number of MB" in problem.allowed


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: requirements.check_keys("shop", {"memory": 1}), "memory_mb"),
        (lambda: requirements.read_ports("shop", {"port": 1}), "list of mappings"),
        (lambda: requirements.read_space("shop", [{"path": "a", "free_mb": 1}]), "absolute path"),
    ],
)
def test_mistake_in_a_role_s_own_file_is_an_error(call: Any, words: str) -> None:
    with pytest.raises(RequirementError, match=words):
        call()
