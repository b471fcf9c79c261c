"""What the tests of specs share: the roles, their YAML files and the variables that each declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
Option = tuple[str, dict[str, Any]]


def read(path: Path) -> Any:
    """The content of a YAML file; an empty mapping for an empty file."""
    assert path.is_file(), f"{path.relative_to(ROOT)} is missing"
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    """The entry points of the role's argument spec."""
    specs = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: spec or {} for name, spec in specs.items()}


def options(role: str) -> dict[str, list[Option]]:
    """Every option by name, with the entry points that declare it and how."""
    found: dict[str, list[Option]] = {}
    for entry_point, spec in entry_points(role).items():
        for name, option in (spec.get("options") or {}).items():
            found.setdefault(name, []).append((entry_point, option))
    return found


def all_options(role: str) -> Iterator[Option]:
    """Every option and suboption, suboptions as name.suboption."""

    def walk(prefix: str, found: dict[str, Any]) -> Iterator[Option]:
        for name, option in found.items():
            yield f"{prefix}{name}", option
            yield from walk(f"{prefix}{name}.", option.get("options") or {})

    for spec in entry_points(role).values():
        yield from walk("", spec.get("options") or {})


def defaults(role: str) -> dict[str, Any]:
    """The role's defaults, not templated."""
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    return dict(read(path)) if path.is_file() else {}


def internals(role: str) -> dict[str, Any]:
    """The role's vars/main.yml, not templated."""
    path = ROOT / "roles" / role / "vars" / "main.yml"
    return dict(read(path)) if path.is_file() else {}


def declared(role: str) -> set[str]:
    """The variables of a role: its inputs, its internals, and what the spec requires."""
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    specs = (read(path).get("argument_specs") or {}) if path.is_file() else {}
    required = {name for spec in specs.values() for name in ((spec or {}).get("options") or {})}
    return set(defaults(role)) | set(internals(role)) | required


def is_secret(name: str, option: dict[str, Any]) -> bool:
    """The same rule as preflight's: a string with no_log that is no URL."""
    return bool(option.get("no_log")) and option.get("type", "str") == "str" and not name.endswith("_url")


def tasks(content: Any) -> Iterator[dict[str, Any]]:
    """Every task of a task file, those in blocks included, with the blocks themselves."""
    for task in content or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part))


def nothing(found: list[str], hint: str = "") -> None:
    """Fails with every entry of `found` on a line of its own."""
    assert not found, "\n".join([hint, *found])


def task_files(role: str) -> list[Path]:
    """The role's files of tasks and handlers."""
    folder = ROOT / "roles" / role
    return sorted([*folder.glob("tasks/**/*.yml"), *folder.glob("handlers/**/*.yml")])
