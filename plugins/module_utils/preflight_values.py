"""A role's variables as inventory and defaults make them, with what is missing named instead of raised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError, AnsibleUndefinedVariable, AnsibleValueOmittedError
from jinja2 import Environment, TemplateSyntaxError, nodes

_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PLACEHOLDER = "0"
_MOST_MISSING = 50


@dataclass(frozen=True)
class Resolved:
    """A templated value; or, when there is none, the undefined names that it needs, or Ansible's message."""

    value: Any = None
    missing: tuple[str, ...] = ()
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return not self.missing and not self.error


class Values:
    """The variables of one role on one host."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        """`templar` is the action's own; `variables` are not templated, and complete."""
        self._templar = templar
        self.variables = dict(variables)

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def get(self, name: str) -> Resolved:
        """The variable, templated."""
        return self.resolve(self.variables[name])

    def resolve(self, raw: Any) -> Resolved:
        """`raw` with its templates rendered. All undefined names are found, not only the first."""
        variables = dict(self.variables)
        missing: list[str] = []
        while len(missing) < _MOST_MISSING:
            try:
                value = self._templar.copy_with_new_env(available_variables=variables).template(raw)
            except AnsibleUndefinedVariable as error:
                found = _UNDEFINED.search(str(error))
                if found is None or found[1] in missing:
                    return Resolved(missing=tuple(missing), error="" if missing else str(error))
                missing.append(found[1])
                # Rendered again with something in its place, to come to the next undefined name.
                variables[found[1]] = _PLACEHOLDER
            except AnsibleValueOmittedError:  # "{{ omit }}" is a way to say: not set
                return Resolved(missing=tuple(missing))
            except AnsibleError as error:
                return Resolved(missing=tuple(missing), error="" if missing else str(error))
            else:
                return Resolved(value=None if missing else value, missing=tuple(missing))
        return Resolved(missing=tuple(missing))

    def known_part(self, name: str) -> list[Any] | None:
        """The entries of a list that can be rendered, when others cannot; None for what is no list."""
        raw = self.variables[self.source(name)]
        if not isinstance(raw, list):
            return None
        return [part.value for part in map(self.resolve, raw) if part.ok]

    def holds(self, condition: str) -> Resolved:
        """Whether `condition` is true, a Jinja expression with or without braces around it."""
        if "{{" in condition:
            resolved = self.resolve(condition)
            if resolved.ok and not isinstance(resolved.value, bool):
                return Resolved(error=f"it is {resolved.value!r}, neither true nor false")
            return resolved
        try:
            templar = self._templar.copy_with_new_env(available_variables=self.variables)
            return Resolved(value=bool(templar.evaluate_conditional(condition)))
        except AnsibleUndefinedVariable as error:
            found = _UNDEFINED.search(str(error))
            return Resolved(missing=(found[1],)) if found else Resolved(error=str(error))
        except AnsibleError as error:
            return Resolved(error=str(error))

    def source(self, name: str) -> str:
        """The variable that holds the value of `name`: itself, or the end of a chain of plain references."""
        seen = {name}
        while isinstance(raw := self.variables.get(name), str) and (
            found := _REFERENCE.fullmatch(raw.strip())
        ):
            if found[1] in seen or found[1] not in self.variables:
                break
            name = found[1]
            seen.add(name)
        return name

    def vault_names(self, name: str) -> list[str]:
        """The vault variables that the value of `name` is made of, directly or through other variables."""
        found: dict[str, None] = {}
        # These hold no templates of ours; to walk through hostvars would be to render every host's variables.
        waiting, seen = [name], {"hostvars", "vars", "ansible_facts"}
        while waiting:
            current = waiting.pop()
            if current in seen or current not in self.variables:
                continue
            seen.add(current)
            if current.startswith("vault_"):
                found[current] = None
            waiting.extend(references(self.variables[current]))
        return sorted(found)

    def origin(self, name: str) -> str:
        """File (relative to the working directory) and line where `name` is set; empty when unknown."""
        tag = Origin.get_tag(self.variables.get(self.source(name)))
        if tag is None:
            return ""
        if not tag.path:
            return str(tag.description or "")
        path = Path(tag.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}, line {tag.line_num}" if tag.line_num else str(shown)


def references(raw: Any) -> set[str]:
    """Names of the variables that the templates in `raw` mention directly."""
    return {name for text in _strings(raw) if "{{" in text or "{%" in text for name in expression_names(text)}


@lru_cache(maxsize=4096)
def expression_names(template: str) -> frozenset[str]:
    """Names of the variables that a template mentions; empty for one that Jinja cannot read."""
    try:
        tree = Environment(autoescape=True).parse(template)
    except TemplateSyntaxError:
        return frozenset()
    return frozenset(node.name for node in tree.find_all(nodes.Name))


def _strings(raw: Any) -> Iterator[str]:
    if isinstance(raw, str):
        yield raw
    elif isinstance(raw, dict):
        for value in raw.values():
            yield from _strings(value)
    elif isinstance(raw, list | tuple):
        for value in raw:
            yield from _strings(value)
