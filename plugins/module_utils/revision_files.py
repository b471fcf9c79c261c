"""Reading an Alembic project's revisions from its source, without running any of it.

alembic.ini (or `[tool.alembic]` of a pyproject.toml) says where the version files are; each of them is
parsed, never imported. The options and their defaults are those of Alembic 1.20's
ScriptDirectory.from_config.
"""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.revisions import Revision, RevisionError, RevisionGraph

# Alembic's own rule for what is a version file (ScriptDirectory, _only_source_rgx).
_VERSION_FILE = re.compile(r"(?!\.#|__init__)(.*\.py)$")
_SEPARATORS = {"os": ":", "space": " ", "newline": "\n", ":": ":", ";": ";"}


def load(directory: str | Path, config: str = "alembic.ini") -> RevisionGraph:
    """The revisions of the project in `directory`.

    Raises RevisionError when the configuration or a version file is missing or cannot be understood.
    """
    recursive, folders = version_folders(directory, config)
    return RevisionGraph(
        revision
        for folder in folders
        for file in _files(folder, recursive)
        if (revision := read_revision(file))
    )


def version_folders(directory: str | Path, config: str = "alembic.ini") -> tuple[bool, list[Path]]:
    """Whether sub-folders count, and the folders that hold the version files."""
    directory = Path(directory)
    file = directory / config
    if not file.is_file():
        raise RevisionError(
            f'there is no "{config}" in {directory}. Name the Alembic configuration of the release.'
        )
    options = _toml_options(file) if file.suffix == ".toml" else _ini_options(file)
    location = options.get("script_location")
    if not location:
        raise RevisionError(f"{file} has no script_location. Alembic itself would not run with it.")
    script = _place(directory, str(location))
    listed = options.get("version_locations")
    folders = (
        [_place(directory, item) for item in _split(listed, options)] if listed else [script / "versions"]
    )
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise RevisionError(f"{file} names folders that do not exist: {', '.join(missing)}.")
    return str(options.get("recursive_version_locations", "")).lower() in ("true", "1", "yes", "on"), folders


def read_revision(file: Path) -> Revision | None:
    """One version file. None for an empty file.

    Raises RevisionError when it has no literal revision and down_revision.
    """
    source = file.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source, str(file))
    except SyntaxError as error:
        raise RevisionError(f"{file} is not Python: {error.msg} in line {error.lineno}.") from error
    if not tree.body:
        return None
    values = dict(_assignments(tree))
    missing = [name for name in ("revision", "down_revision") if name not in values]
    if missing:
        raise RevisionError(
            f"{file} does not assign {' and '.join(missing)}, so Alembic could not load it. "
            "Correct it, or move what is not a migration out of the folder."
        )
    names = {name: _names(file, name, node) for name, node in values.items()}
    if len(names["revision"]) != 1:
        raise RevisionError(f"{file} needs exactly one revision id.")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    docstring = (ast.get_docstring(tree) or "").strip().partition("\n")[0].strip()
    return Revision(
        id=names["revision"][0],
        down=names["down_revision"],
        depends_on=names.get("depends_on", ()),
        labels=names.get("branch_labels", ()),
        message=docstring,
        path=str(file),
        concurrently=any(map(_is_concurrent, ast.walk(tree))),
        autocommit=any(
            isinstance(node, ast.Attribute) and node.attr == "autocommit_block" for node in ast.walk(tree)
        ),
        empty_upgrade=_does_nothing(functions.get("upgrade")),
        empty_downgrade=_does_nothing(functions.get("downgrade")),
        irreversible=_raises(functions.get("downgrade")),
    )


def _ini_options(file: Path) -> dict[str, Any]:
    parser = configparser.ConfigParser({"here": file.absolute().parent.as_posix()})
    try:
        parser.read_string(file.read_text(encoding="utf-8"), str(file))
        # Only what is needed: other options may hold % signs that are not ours to interpolate.
        wanted = (
            "script_location",
            "version_locations",
            "path_separator",
            "version_path_separator",
            "recursive_version_locations",
        )
        return {name: parser.get("alembic", name) for name in wanted if parser.has_option("alembic", name)}
    except configparser.Error as error:
        raise RevisionError(f"{file} cannot be read: {error}") from error


def _toml_options(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
    except tomllib.TOMLDecodeError as error:
        raise RevisionError(f"{file} cannot be read: {error}") from error
    here = file.absolute().parent.as_posix()
    return {
        name: value.replace("%(here)s", here) if isinstance(value, str) else value
        for name, value in table.items()
    }


def _split(listed: object, options: dict[str, Any]) -> list[str]:
    if isinstance(listed, list):
        return [str(item) for item in listed]
    separator = options.get("path_separator") or options.get("version_path_separator")
    if separator is None:
        # Alembic's rule for configurations older than path_separator.
        return [item for item in re.split(r", *|(?: +)", str(listed)) if item]
    if separator not in _SEPARATORS:
        raise RevisionError(f'path_separator "{separator}" is not one of {", ".join(_SEPARATORS)}.')
    return [item.strip() for item in str(listed).split(_SEPARATORS[separator]) if item.strip()]


def _place(directory: Path, location: str) -> Path:
    """A folder named by path, or as package:path; Alembic reads paths relative to where it runs."""
    package, colon, rest = location.partition(":")
    if not colon:
        return directory / location
    inside = Path(*package.split(".")) / rest
    for root in (directory, directory / "src"):
        if (root / inside).is_dir():
            return root / inside
    return directory / inside


def _files(folder: Path, recursive: bool) -> list[Path]:
    found = folder.rglob("*.py") if recursive else folder.glob("*.py")
    return sorted(
        file for file in found if _VERSION_FILE.match(file.name) and "__pycache__" not in file.parts
    )


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    wanted = ("revision", "down_revision", "depends_on", "branch_labels")
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if value is not None and isinstance(target, ast.Name) and target.id in wanted:
                yield target.id, value


def _names(file: Path, name: str, node: ast.expr) -> tuple[str, ...]:
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise RevisionError(
            f"{file} computes {name} instead of naming it, so it cannot be known without running the file. "
            "Write it as a literal."
        ) from error
    if value is None:
        return ()
    items = tuple(value) if isinstance(value, tuple | list | set) else (value,)
    if not all(isinstance(item, str) for item in items):
        raise RevisionError(
            f"{file} has {name} = {value!r}; allowed are None, a string, or a tuple of strings."
        )
    return items


def _is_concurrent(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "postgresql_concurrently" and not (
            isinstance(node.value, ast.Constant) and node.value.value is False
        )
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"^\s*(CREATE|DROP|REINDEX|ALTER)\b.*\bCONCURRENTLY\b", node.value, re.S) is not None
    )


def _body(function: ast.FunctionDef | None) -> list[ast.stmt]:
    if function is None:
        return []
    return [
        node
        for node in function.body
        if not isinstance(node, ast.Pass)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def _does_nothing(function: ast.FunctionDef | None) -> bool:
    return all(isinstance(node, ast.Return) and node.value is None for node in _body(function))


def _raises(function: ast.FunctionDef | None) -> bool:
    body = _body(function)
    return bool(body) and isinstance(body[0], ast.Raise)
