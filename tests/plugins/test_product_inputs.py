"""The filters about a product's inputs: what cannot work is named, with what could."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = ["SHOP_DB", "PORT", "RELEASE_ID"]


def problems(name: str, *arguments: Any) -> list[str]:
    spec = importlib.util.spec_from_file_location("product_inputs", ROOT / "plugins/filter/product_inputs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    filters: dict[str, Callable[..., list[str]]] = module.FilterModule().filters()
    return filters[name](*arguments)


def test_ordinary_settings_are_no_problem() -> None:
    assert problems("environment_problems", {"SHOP_CURRENCY": "EUR", "_a1": 1}, OWN) == []


@pytest.mark.parametrize("name", ["FEATURE-X", "9LIVES", "A B", ""])
def test_name_that_no_environment_variable_can_have_is_told_without_its_value(name: str) -> None:
    [problem] = problems("environment_problems", {name: "hush"}, OWN)
    assert f'name "{name}" must be' in problem
    assert "hush" not in problem


@pytest.mark.parametrize("name", OWN)
def test_setting_that_the_bundle_makes_itself_is_refused(name: str) -> None:
    [problem] = problems("environment_problems", {name: "hush"}, OWN)
    assert (
        problem
        == f'name "{name}" is one that the bundle itself gives the service (PORT, RELEASE_ID, SHOP_DB)'
    )


@pytest.mark.parametrize("name", ["libmagic1", "g++", "libc6.1-dev", "7zip"])
def test_name_of_a_package_is_no_problem(name: str) -> None:
    assert problems("package_problems", [name]) == []


@pytest.mark.parametrize("name", ["lib magic", "Libmagic1", "-y", "a", "curl;reboot"])
def test_what_is_no_name_of_a_package_is_refused(name: str) -> None:
    assert name in problems("package_problems", [name])[0]


@pytest.mark.parametrize("command", ["", "uvicorn", "uvicorn shop:app --port ${PORT}", "python3.11 -m shop"])
def test_command_of_the_release_is_no_problem(command: str) -> None:
    assert problems("command_problems", command) == []


@pytest.mark.parametrize(
    "command", ["/usr/bin/uvicorn shop:app", "./run.sh", "$SHELL -c x", "uvicorn a\nreboot", " uvicorn"]
)
def test_command_that_is_no_program_of_the_release_is_refused(command: str) -> None:
    assert "begin with the name of a program" in problems("command_problems", command)[0]


@pytest.mark.parametrize("path", ["/", "/status", "/api/jobs?limit=1"])
def test_path_of_the_service_is_no_problem(path: str) -> None:
    assert problems("path_problems", path) == []


@pytest.mark.parametrize("path", ["", "status", "/a b", "https://shop.example/status"])
def test_path_that_cannot_be_asked_for_is_refused(path: str) -> None:
    assert f'"{path}" must begin with /' in problems("path_problems", path)[0]


@pytest.mark.parametrize(
    "path", ["uploads", "var/uploads/", "/srv/shop/uploads", "/var/lib/shop", "/mnt/big/shop"]
)
def test_directory_of_the_product_may_be_writable(path: str) -> None:
    assert problems("writable_path_problems", [path], "/srv/shop") == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/shop", "is below /etc"),
        ("/home/shop/uploads", "is below /home"),
        ("/tmp/uploads", "is below /tmp"),
        ("/var/lib", "would belong to the product whole"),
        ("/", "would belong to the product whole"),
        ("/srv/shop", "is where releases are"),
        ("/srv/shop/releases/uploads", "is where releases are"),
        ("/srv/shop/current/source/uploads", "is where releases are"),
        ("../uploads", "without .."),
        ("/srv/shop/../other", "without .."),
        ("up loads", "must be of letters"),
        ("uploads:rw", "must be of letters"),
        ("%h/uploads", "must be of letters"),
        ("", "must be of letters"),
        (".", "must be of letters"),
    ],
)
def test_directory_that_is_not_the_products_may_not(path: str, words: str) -> None:
    [problem] = problems("writable_path_problems", [path], "/srv/shop")
    assert f'"{path}"' in problem
    assert words in problem
