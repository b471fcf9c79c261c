"""The three inventories describe the same landscape: the same groups and the same shared values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from role_files import ROLES, ROOT, declared, nothing

INVENTORIES = ("local", "staging", "production")
GROUPS = {"database", "api", "haproxy", "backup", "monitoring", "control"}
each_inventory = pytest.mark.parametrize("inventory", INVENTORIES)


def folder(inventory: str) -> Path:
    return Path(ROOT, "inventories", inventory)


def variable_files(inventory: str) -> dict[str, dict[str, Any]]:
    """The variables of every file of group_vars and host_vars that is not encrypted, by its path."""
    found = {}
    for path in sorted(
        [*folder(inventory).glob("group_vars/**/*.yml"), *folder(inventory).glob("host_vars/**/*.yml")]
    ):
        text = path.read_text(encoding="utf-8")
        if path.name != "vault.yml" and not text.startswith("$ANSIBLE_VAULT"):
            found[str(path.relative_to(folder(inventory)))] = yaml.load(text, Loader=InventoryLoader) or {}
    return found


def names(inventory: str, prefix: str) -> set[str]:
    return {
        name for content in variable_files(inventory).values() for name in content if name.startswith(prefix)
    }


def groups(inventory: str) -> set[str]:
    """The groups of hosts.yml, below all."""
    found: set[str] = set()

    def walk(children: dict[str, Any]) -> None:
        for name, group in children.items():
            found.add(name)
            walk((group or {}).get("children") or {})

    hosts = folder(inventory) / "hosts.yml"
    assert hosts.is_file(), f"{hosts.relative_to(ROOT)} is missing"
    walk(yaml.load(hosts.read_text(encoding="utf-8"), Loader=InventoryLoader)["all"]["children"])
    return found


class InventoryLoader(yaml.SafeLoader):
    """YAML with Ansible's !vault, whose text is of no interest here."""


InventoryLoader.add_constructor("!vault", lambda loader, node: "(encrypted)")


@each_inventory
def test_inventory_has_the_groups_of_the_design(inventory: str) -> None:
    assert groups(inventory) >= GROUPS


@each_inventory
def test_inventory_has_the_same_groups_as_the_others(inventory: str) -> None:
    assert groups(inventory) == groups("local")


@each_inventory
def test_inventory_defines_the_same_shared_values_as_the_others(inventory: str) -> None:
    everything = set().union(*(names(other, "bundle_") for other in INVENTORIES))
    nothing(sorted(everything - names(inventory, "bundle_")), "defined in another inventory only")


@each_inventory
def test_inventory_sets_only_variables_that_a_role_declares(inventory: str) -> None:
    known = {name for role in ROLES for name in declared(role)}
    unknown = [
        f"{path}: {name}"
        for path, content in variable_files(inventory).items()
        for name in content
        if not name.startswith(("bundle_", "ansible_")) and name not in known
    ]
    nothing(unknown, "a misspelt variable would be ignored silently")


@each_inventory
def test_release_is_pinned_in_its_own_file(inventory: str) -> None:
    assert "release_ref" in variable_files(inventory).get("group_vars/all/release.yml", {})
