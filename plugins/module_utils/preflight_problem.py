"""One problem that preflight found, and the list of them that a person reads.

A problem names the variable, its value, what is allowed and what to do. It never holds a secret: values are
shown through `show`, which hides passwords inside URLs, and secrets are shown as `HIDDEN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

HIDDEN = "(not shown)"
NOT_DEFINED = "(not defined)"
_LONGEST = 100
_SECRET_NAME = re.compile("password|passwd|secret|token|private_key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")


@dataclass(frozen=True)
class Problem:
    """What is wrong on one host. `role` may name several roles, separated by a comma and a space.

    `value` is ready to be printed; `allowed` and `fix` are sentences, each with its full stop.
    """

    role: str
    variable: str
    value: str
    allowed: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """The same as plain strings, as an action plugin returns it."""
        return asdict(self)


def show(value: Any, secrets: Iterable[str] = ()) -> str:
    """The value as a person would write it in YAML: one line, at most 100 characters, no secret in it.

    Hidden are `secrets`, passwords in URLs, and what a mapping has under a name such as password or token.
    """
    text = redact(json.dumps(_without_secrets(value), ensure_ascii=False, default=str), secrets)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without any of `secrets`, and without passwords inside URLs."""
    for secret in sorted({str(item) for item in secrets if str(item)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN).replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
    return _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _SECRET_NAME.search(str(name)) else _without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value


def sentence(text: str) -> str:
    """The text without line breaks, ending with a full stop."""
    flat = " ".join(text.split())
    return flat if flat.endswith((".", "?", "!")) or not flat else f"{flat}."


def merge(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once: what several roles say in the same words becomes one entry with all their names."""
    roles: dict[Problem, list[str]] = {}
    for problem in problems:
        names = roles.setdefault(replace(problem, role=""), [])
        if problem.role not in names:
            names.append(problem.role)
    return [replace(problem, role=", ".join(names)) for problem, names in roles.items()]


def report(by_host: Mapping[str, Iterable[Mapping[str, str]]]) -> str:
    """One numbered list of the problems of all hosts; an empty string when there is none.

    Hosts that share a problem share its entry. The order is that of the hosts, then of their roles.
    """
    hosts: dict[Problem, list[str]] = {}
    for host, problems in by_host.items():
        for fields in problems:
            problem = Problem(**{name: str(fields[name]) for name in Problem.__dataclass_fields__})
            hosts.setdefault(problem, []).append(host)
    if not hosts:
        return ""
    count = len(hosts)
    title = "1 problem" if count == 1 else f"{count} problems"
    lines = [f"{title} found before anything was touched:"]
    for number, (problem, names) in enumerate(hosts.items(), start=1):
        where = ", ".join(names)
        lines.append(
            f"{number:>3}. {where}: {problem.role}: {problem.variable} = {problem.value}: "
            f"{sentence(problem.allowed)} {sentence(problem.fix)}"
        )
    return "\n".join(lines)
