"""The filter schedule_problems: whether cron and systemd will take schedules, before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Nothing that systemd, which reads it, would take for a quote, a variable or a specifier.
ARGUMENTS = re.compile(r"[\w./:=,@+-]+( [\w./:=,@+-]+)*", re.ASCII)
# A number, a span or all, every so many of them; several, separated by commas.
PART = re.compile(r"(?:\*|(?P<first>\d{1,2})(?:-(?P<last>\d{1,2}))?)(?:/(?P<step>\d{1,2}))?")
FIELDS = {"minute": 59, "hour": 23}


def schedule_problems(schedules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with schedules, a clause each that names the schedule, the value and what is allowed."""
    problems = []
    names = [str(schedule["name"]) for schedule in schedules]
    for name, schedule in zip(names, schedules, strict=True):
        if not NAME.fullmatch(name):
            problems.append(f'name "{name}" must be lower-case letters and digits, in words joined by -')
        elif names.count(name) > 1:
            problems.append(f'name "{name}" must be there once')
        if not ARGUMENTS.fullmatch(str(schedule["arguments"])):
            problems.append(
                f'arguments "{schedule["arguments"]}" of {name} must be words of letters, digits and ./:=,@+-_, '
                "separated by single spaces"
            )
        problems += [
            f'{field} "{schedule[field]}" of {name} must be as cron has it, from 0 to {highest}: 5, 5,35, 8-18 or */10'
            for field, highest in FIELDS.items()
            if not is_cron_field(str(schedule[field]), highest)
        ]
        if int(schedule["time_limit"]) < 1:
            problems.append(f"time_limit {schedule['time_limit']} of {name} must be 1 second or more")
    return list(dict.fromkeys(problems))


def is_cron_field(text: str, highest: int) -> bool:
    """Return whether cron takes the text for a field from 0 to `highest`."""
    return all(_is_part(part, highest) for part in text.split(","))


def _is_part(text: str, highest: int) -> bool:
    found = PART.fullmatch(text)
    if not found:
        return False
    first, last, step = (None if each is None else int(each) for each in found.group("first", "last", "step"))
    if step is not None and not (1 <= step <= highest and (first is None or last is not None)):
        return False
    return first is None or first <= (first if last is None else last) <= highest


class FilterModule:
    """Ansible's way in."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"schedule_problems": schedule_problems}
