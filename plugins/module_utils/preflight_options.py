"""Whether a role's variable has the type and the value that its argument spec asks for.

The meaning of the types is Ansible's own (ArgumentSpecValidator); the words are ours, because Ansible's
messages do not say what is allowed, and may repeat a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import ArgumentTypeError, ArgumentValueError
from ansible.module_utils.preflight_problem import HIDDEN, Problem, sentence, show

Spec = Mapping[str, Any]

_TYPES = {
    "bool": "true or false",
    "bytes": "a size in bytes such as 512 or 10MB",
    "bits": "a size in bits such as 512 or 10Mb",
    "dict": "a mapping of names to values",
    "float": "a number",
    "int": "a whole number",
    "jsonarg": "JSON",
    "json": "JSON",
    "list": "a list",
    "path": "a path",
    "raw": "any value",
    "str": "a string",
}


def describe(spec: Spec) -> str:
    """The first paragraph of an option's description, on one line, ending with a full stop."""
    description = spec.get("description", "")
    if isinstance(description, list):
        description = description[0] if description else ""
    return str(sentence(str(description)))


def allowed(spec: Spec) -> str:
    """What the option accepts, in a sentence or two: its type or choices, then its description."""
    choices = spec.get("choices")
    kind = _TYPES.get(str(spec.get("type", "str")), str(spec.get("type")))
    elements = spec.get("elements")
    if choices:
        words = "must be one of " + ", ".join(str(choice) for choice in choices)
    elif elements:
        words = f"must be {kind}, each of it {_TYPES.get(str(elements), str(elements))}"
    else:
        words = f"must be {kind}"
    return f"{words}. {describe(spec)}".strip()


def is_secret(name: str, spec: Spec) -> bool:
    """Whether the option is a secret: a string marked `no_log`, and no URL (which only contains one)."""
    return bool(spec.get("no_log")) and spec.get("type", "str") == "str" and not name.endswith("_url")


def check_option(
    role: str, name: str, spec: Spec, value: Any, origin: str, secrets: Collection[str] = ()
) -> list[Problem]:
    """What is wrong with `value`, which is templated and set at `origin`; `secrets` stay hidden."""
    result = ArgumentSpecValidator({name: dict(spec)}).validate({name: value})
    hidden = {*secrets, *(str(item) for item in result._no_log_values)}
    shown = HIDDEN if spec.get("no_log") else show(value, hidden)
    fix = f"Change it in {origin}." if origin else "Change it in the inventory."
    problems = []
    for error in result.errors.errors:
        # What is wrong inside of it is told in Ansible's words, which name the suboption.
        inside = bool(spec.get("options")) and " found in " in error.msg
        if isinstance(error, ArgumentTypeError | ArgumentValueError) and not inside:
            words = allowed(spec)
        elif spec.get("no_log"):
            words = f"some part of it is not what is allowed. {allowed(spec)}"
        else:
            words = f"{sentence(str(remove_values(error.msg, hidden)))} {describe(spec)}"
        problems.append(Problem(role, name, shown, words, fix))
    return problems
