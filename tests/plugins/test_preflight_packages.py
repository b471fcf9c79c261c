"""Lookup role_packages: the union of several roles' packages, in a real ansible-playbook run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from preflight_site import Run, Site

UNION = "{{ lookup('role_packages', ['shop', 'stall', 'bare']) }}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.defaults |= {"shop_packages": ["zlib1g", "shop-{{ shop_version }}"], "shop_version": 15}
    site.write_role("stall", {}, {"stall_packages": ["zlib1g", "acl"]})
    site.write_role("bare", {}, {})
    return site


def look(site: Site, expression: str = UNION) -> Run:
    task: dict[str, Any] = {"name": "look", "ansible.builtin.set_fact": {"found": expression}}
    return site.run(plays=[{"hosts": "all", "gather_facts": False, "tasks": [task]}])


def found(run: Run) -> Any:
    return run.results("look")["one"]["ansible_facts"]["found"]


def test_packages_of_all_roles_are_sorted_and_unique(site: Site) -> None:
    assert found(look(site)) == ["acl", "shop-15", "zlib1g"]


def test_inventory_comes_before_the_role_s_default(site: Site) -> None:
    site.variables |= {"stall_packages": ["acl", "own-build"], "shop_version": 16}
    assert found(look(site)) == ["acl", "own-build", "shop-16", "zlib1g"]


def test_packages_of_a_product_come_with_those_of_the_role(site: Site) -> None:
    site.defaults |= {"shop_system_packages": []}
    site.variables |= {"shop_system_packages": ["qrencode", "acl"]}
    assert found(look(site)) == ["acl", "qrencode", "shop-15", "zlib1g"]


def test_roles_without_packages_give_an_empty_list(site: Site) -> None:
    assert found(look(site, "{{ lookup('role_packages', ['bare']) }}")) == []


@pytest.mark.parametrize(
    ("variables", "expression", "words"),
    [
        ({}, "{{ lookup('role_packages', ['shoo']) }}", "roles there: bare, shop, stall"),
        ({"stall_packages": "acl"}, UNION, "a list of Debian package names is needed"),
        ({"shop_version": "{{ bundle_version }}"}, UNION, "'bundle_version' is undefined"),
    ],
)
def test_what_cannot_be_a_list_of_packages_is_an_error(
    site: Site, variables: dict[str, Any], expression: str, words: str
) -> None:
    site.variables |= variables
    run = look(site, expression)
    assert run.returncode != 0
    assert words in run.results("look")["one"]["msg"]
