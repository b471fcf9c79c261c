"""The filter schedule_problems: what cron and systemd would not take is named, with what they would."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD: dict[str, Any] = {
    "name": "sessions",
    "arguments": "-m app.cli housekeeping sessions",
    "minute": "0",
    "hour": "3",
    "time_limit": 600,
}


def schedule_problems(*schedules: dict[str, Any]) -> list[str]:
    spec = importlib.util.spec_from_file_location("schedules", ROOT / "plugins/filter/schedules.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.FilterModule().filters()["schedule_problems"](schedules)
    return found


@pytest.mark.parametrize("minute", ["0", 0, "59", "*", "*/10", "5,35", "0-29", "0-59/15", "1,2,*/30", "00"])
def test_what_cron_takes_is_no_problem(minute: object) -> None:
    assert schedule_problems(GOOD | {"minute": minute}) == []


@pytest.mark.parametrize(
    "minute",
    [
        "60",
        "-1",
        "",
        "x",
        "1,",
        "5-",
        "30-10",
        "0-60",
        "*/0",
        "*/60",
        "5/10",
        "1 2",
        "* *",
        "@daily",
        "1.5",
        "0\n1",
    ],
)
def test_what_cron_does_not_take_is_named_with_what_it_does(minute: str) -> None:
    (problem,) = schedule_problems(GOOD | {"minute": minute})
    assert problem.startswith(f'minute "{minute}" of sessions must be as cron has it, from 0 to 59')


@pytest.mark.parametrize("hour", ["24", "0-24"])
def test_hour_ends_at_23(hour: str) -> None:
    (problem,) = schedule_problems(GOOD | {"hour": hour})
    assert "from 0 to 23" in problem


@pytest.mark.parametrize("name", ["Sessions", "a_b", "-a", "a-", "a b", "", "a/b", "ä", "1st"])
def test_name_that_no_unit_can_have_is_named(name: str) -> None:
    (problem,) = schedule_problems(GOOD | {"name": name})
    assert problem == f'name "{name}" must be lower-case letters and digits, in words joined by -'


@pytest.mark.parametrize(
    "arguments", ["", "-c 'x'", "-m a; b", "-m %h", "-m $HOME", "a\nb", " -m a", "a  b", "a\\x"]
)
def test_arguments_that_systemd_would_read_otherwise_are_named(arguments: str) -> None:
    (problem,) = schedule_problems(GOOD | {"arguments": arguments})
    assert "must be words of letters, digits and" in problem


def test_name_may_be_there_once() -> None:
    assert schedule_problems(GOOD, GOOD) == ['name "sessions" must be there once']


def test_time_limit_is_at_least_a_second() -> None:
    assert schedule_problems(GOOD | {"time_limit": 0}) == [
        "time_limit 0 of sessions must be 1 second or more"
    ]


def test_all_problems_are_in_one_list() -> None:
    assert len(schedule_problems(GOOD | {"minute": "x", "hour": "y"}, GOOD | {"name": "B"})) == 3
