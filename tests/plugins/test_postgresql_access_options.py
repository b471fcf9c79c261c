"""The options of postgresql_access: ansible-doc shows what the module takes, and how it reads them."""

from __future__ import annotations

from typing import Any

import postgresql_access
import pytest
import yaml
from ansible.module_utils.postgresql_wanted import ARGUMENT_SPEC, normalize, split_identifiers

FACTS = ("type", "elements", "choices", "default", "required")


def facts(options: dict[str, Any]) -> dict[str, Any]:
    """Return what binds in options, documented or specified, at every depth."""
    return {
        name: {fact: option[fact] for fact in FACTS if fact in option}
        | {"options": facts(option.get("options") or option.get("suboptions") or {})}
        for name, option in options.items()
    }


def test_documentation_and_argument_spec_agree() -> None:
    documented = yaml.safe_load(postgresql_access.DOCUMENTATION)["options"]
    assert facts(documented) == facts(ARGUMENT_SPEC)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("public", ["public"]),
        ('"$user", public', ["$user", "public"]),
        ("Public,app", ["public", "app"]),
        ('"Mixed Case","with ""quote"""', ["Mixed Case", 'with "quote"']),
        ('""', [""]),
        ("", []),
    ],
)
def test_list_of_names_is_read_as_postgresql_reads_it(text: str, names: list[str]) -> None:
    assert split_identifiers(text) == names


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("jit", True, "on"),
        ("jit", False, "off"),
        ("work_mem", 4096, "4096"),
        ("Statement_Timeout", "30s", "30s"),
        ("search_path", "app, public", ["app", "public"]),
        ("search_path", ["app", "public"], ["app", "public"]),
        ("search_path", "", [""]),
    ],
)
def test_setting_becomes_what_postgresql_stores(name: str, given: Any, stored: Any) -> None:
    params = {"roles": [{"name": "app", "settings": {name: given}}], "databases": []}
    normalize(params)
    assert params["roles"][0]["settings"] == {name.lower(): stored}
