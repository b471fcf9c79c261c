"""Where a role is, and what it declares: its options, its defaults and what it asks of a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Load = Callable[[str], Any]


class RoleError(Exception):
    """A role that does not exist, or whose files cannot be used; the message says which roles there are."""


@dataclass(frozen=True)
class Role:
    """What the files of one role declare, not templated yet."""

    name: str
    path: Path
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    internals: dict[str, Any] = field(default_factory=dict)
    requirements: dict[str, Any] = field(default_factory=dict)


def find_role(name: str, roots: Iterable[str | Path]) -> Path:
    """The role's folder in the first of `roots` that has it; RoleError with the known names otherwise."""
    folders = [Path(root) for root in roots]
    for folder in folders:
        if (folder / name).is_dir():
            return folder / name
    known = sorted(
        {role.name for folder in folders if folder.is_dir() for role in folder.iterdir() if role.is_dir()}
    )
    places = ", ".join(str(folder) for folder in folders)
    raise RoleError(
        f'role "{name}" is not in {places}; roles there: {", ".join(known) or "none"}. '
        "Correct the name, or add its folder to roles_path in ansible.cfg."
    )


def read_mapping(path: Path, load: Load) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file or none; RoleError for anything else."""
    if not path.is_file():
        return {}
    content = load(str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RoleError(f"{path} holds a {type(content).__name__}; a mapping of names to values is needed.")
    return content


def read_defaults(path: Path, load: Load) -> dict[str, Any]:
    """The role's defaults/main.yml."""
    return read_mapping(path / "defaults" / "main.yml", load)


def read_role(name: str, roots: Iterable[str | Path], load: Load, entry_points: Iterable[str] = ()) -> Role:
    """All that role `name` declares. `load` reads one YAML file, with its templates trusted if they are used.

    The options are those of all `entry_points` together; of "main" when none is named. A role that has only
    other entry points gets their variables from its caller, and has no options then. RoleError for an unknown
    role or entry point.
    """
    path = find_role(name, roots)
    specs = read_mapping(path / "meta" / "argument_specs.yml", load).get("argument_specs") or {}
    options: dict[str, dict[str, Any]] = {}
    for entry_point in entry_points or {"main"} & set(specs):
        if entry_point not in specs:
            raise RoleError(
                f'role "{name}" has no entry point "{entry_point}" in meta/argument_specs.yml; '
                f"it has {', '.join(sorted(specs)) or 'none'}."
            )
        options.update((specs[entry_point] or {}).get("options") or {})
    return Role(
        name=name,
        path=path,
        options=options,
        defaults=read_defaults(path, load),
        internals=read_mapping(path / "vars" / "main.yml", load),
        requirements=read_mapping(path / "meta" / "preflight.yml", load),
    )
