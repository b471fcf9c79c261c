"""What template tests share: a role's template, rendered with the role's defaults by Ansible's Templar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., str]


def trusted(value: Any) -> Any:
    """Mark every text in a value as a template of ours; Ansible renders no other text."""
    match value:
        case str():
            return trust_as_template(value)
        case dict():
            return {key: trusted(each) for key, each in value.items()}
        case list():
            return [trusted(each) for each in value]
        case _:
            return value


def role_variables(role: str) -> dict[str, Any]:
    """Return the variables of a role: its defaults and its vars, still templates."""
    found: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        file = ROOT / "roles" / role / folder / "main.yml"
        if file.exists():
            found |= yaml.safe_load(file.read_text()) or {}
    marked: dict[str, Any] = trusted(found)
    return marked


@pytest.fixture(scope="session")
def plugin_loader() -> None:
    """Load Ansible's filters and ours once a session."""
    init_plugin_loader()


@pytest.fixture
def value(plugin_loader: None) -> Callable[..., Any]:
    """Return `value(role, name, **variables)`: what a variable of the role is, given what the inventory gives."""

    def resolved(role: str, name: str, **variables: Any) -> Any:
        every = role_variables(role) | {"ansible_managed": "Ansible managed"} | trusted(variables)
        return Templar(loader=DataLoader(), variables=every).template(trust_as_template(f"{{{{ {name} }}}}"))

    return resolved


@pytest.fixture
def render(plugin_loader: None) -> Render:
    """Return `render(role, template, **variables)`: the text that Ansible's template action would write.

    `variables` are what the inventory would give; they win over the role's defaults. A host's facts go in as
    `ansible_facts={...}`. Raises AnsibleUndefinedVariable when the template needs what nobody gave.
    """

    def rendered(role: str, template: str, **variables: Any) -> str:
        every = role_variables(role) | {"ansible_managed": "Ansible managed"} | trusted(variables)
        templar = Templar(loader=DataLoader(), variables=every)
        source = (ROOT / "roles" / role / "templates" / template).read_text()
        # What the template action adds to Jinja's own ways.
        options = "#jinja2: trim_blocks: True, lstrip_blocks: False, keep_trailing_newline: True\n"
        # A backslash in a file is one backslash; Templar's own way is that of YAML, where it doubles them.
        return str(templar.template(trust_as_template(options + source), escape_backslashes=False))

    return rendered
