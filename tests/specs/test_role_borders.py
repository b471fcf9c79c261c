"""Who may know whom: a role reads its own variables, names no group, and calls its tasks after their file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_files import ROLES, ROOT, declared, internals, nothing, read, task_files, tasks

each_role = pytest.mark.parametrize("role", ROLES)
GROUPS = re.compile(r"\bgroup_names\b|\bgroups\s*(?:\[|\.\w+\b(?!\w*\s*=)|\|)")
CALLS = ("include_role", "import_role", "ansible.builtin.include_role", "ansible.builtin.import_role")


def texts(role: str) -> Iterator[tuple[str, str]]:
    """(file, text) of all that the role does, without comments and without what it hands to another role."""
    folder = ROOT / "roles" / role
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("README.md", "argument_specs.yml"):
            continue
        name = str(path.relative_to(ROOT))
        if path in task_files(role):
            yield name, yaml.safe_dump([without_handed(task) for task in read(path) or []], width=10**6)
        elif path.suffix in (".yml", ".yaml"):
            yield name, yaml.safe_dump(read(path), width=10**6)
        else:
            text = path.read_text(encoding="utf-8", errors="replace")
            yield name, re.sub(r"{#.*?#}", "", text, flags=re.DOTALL)


def without_handed(task: Any) -> Any:
    """The task without the names of variables that it gives to the role that it calls; their values stay."""
    if not isinstance(task, dict):
        return task
    clean = {
        key: [without_handed(item) for item in value] if key in ("block", "rescue", "always") else value
        for key, value in task.items()
    }
    if any(call in task for call in CALLS) and isinstance(task.get("vars"), dict):
        clean["vars"] = list(task["vars"].values())
    return clean


@each_role
def test_role_reads_no_variable_of_another_role(role: str) -> None:
    foreign = {name: other for other in ROLES if other != role for name in declared(other) - declared(role)}
    found = [
        f"{path} reads {word} of {foreign[word]}"
        for path, text in texts(role)
        for word in sorted(set(re.findall(r"\b\w+\b", text)) & set(foreign))
    ]
    nothing(found)


@each_role
def test_role_reads_shared_values_in_its_defaults_only(role: str) -> None:
    allowed = (f"roles/{role}/defaults/", f"roles/{role}/meta/")
    found = [
        f"{path} reads {word}"
        for path, text in texts(role)
        if not path.startswith(allowed)
        for word in sorted(set(re.findall(r"\bbundle_\w+", text)))
    ]
    nothing(found, "take it into a variable of the role, in defaults/main.yml")


@each_role
def test_role_names_no_vault_variable(role: str) -> None:
    found = [
        f"{path} names {word}" for path, text in texts(role) for word in re.findall(r"\bvault_\w+", text)
    ]
    nothing(found, "the inventory gives the role's own variable the vault's value")


@each_role
def test_role_names_no_group(role: str) -> None:
    found = [f"{path}: {match[0]}" for path, text in texts(role) for match in GROUPS.finditer(text)]
    nothing(found, "a role takes hosts and endpoints; the inventory knows the groups")


def prefixes(path: Path) -> tuple[str, ...]:
    return (f"{path.stem} | ",)


@each_role
def test_task_name_starts_with_its_file(role: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {task.get('name', 'a task without a name')}"
        for path in task_files(role)
        if path.name != "main.yml"
        for task in tasks(read(path))
        if not (
            str(task.get("name", "")).startswith(prefixes(path)) or ("block" in task and "name" not in task)
        )
    ]
    nothing(wrong)


@each_role
def test_tag_starts_with_the_role(role: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {tag}"
        for path in task_files(role)
        for task in tasks(read(path))
        for tag in ([task["tags"]] if isinstance(task.get("tags"), str) else task.get("tags") or [])
        if tag not in ("always", "never") and tag != role and not tag.startswith((f"{role}_", f"{role}-"))
    ]
    nothing(wrong)


@each_role
def test_internal_variable_starts_with_two_underscores(role: str) -> None:
    nothing([name for name in internals(role) if not name.startswith(f"__{role}_")])


@each_role
def test_no_error_is_ignored(role: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {task.get('name')}"
        for path in task_files(role)
        for task in tasks(read(path))
        if task.get("ignore_errors") or task.get("ignore_unreachable")
    ]
    nothing(wrong)
