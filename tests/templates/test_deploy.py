"""What the role deploy says of a step that failed, and which bounds its watch may have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

TASK = {"name": "switch | Do the phase on every proxy"}


def cause(value: Callable[..., Any], **result: Any) -> str:
    said: str = value("deploy", "__deploy_cause", ansible_failed_task=TASK, ansible_failed_result=result)
    return said


def test_cause_is_the_task_with_its_words(value: Callable[..., Any]) -> None:
    assert cause(value, failed=True, msg="not ready") == "switch | Do the phase on every proxy: not ready"


def test_cause_of_a_loop_is_what_its_items_say_each_once(value: Callable[..., Any]) -> None:
    items = [
        {"failed": True, "msg": "It fails: 17 of 84"},
        {"failed": False, "msg": "well"},
        {"msg": "also well"},
        {"failed": True, "msg": "It fails: 17 of 84"},
        {"failed": True, "msg": "HAProxy cannot be asked"},
    ]
    said = cause(value, failed=True, msg="One or more items failed", results=items)
    assert said.endswith(": It fails: 17 of 84; HAProxy cannot be asked")


def test_loop_whose_items_say_nothing_is_told_by_its_own_words(value: Callable[..., Any]) -> None:
    said = cause(value, failed=True, msg="One or more items failed", results=[{"failed": True}])
    assert said.endswith(": One or more items failed")


def test_host_that_ends_because_of_another_says_so(value: Callable[..., Any]) -> None:
    assert value("deploy", "__deploy_cause") == "Another host failed: see its message"


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, True),
        ({"deploy_watch_seconds": 0}, True),
        ({"deploy_watch_seconds": -1}, False),
        ({"deploy_watch_more_failures": 1}, True),
        ({"deploy_watch_more_failures": 2}, False),
        ({"deploy_watch_more_failures": -0.1}, False),
        ({"deploy_watch_slower": 1}, True),
        ({"deploy_watch_slower": 0.5}, False),
    ],
)
def test_watch_has_bounds(value: Callable[..., Any], given: dict[str, float], allowed: bool) -> None:
    rules = yaml.safe_load((ROOT / "roles/deploy/meta/preflight.yml").read_text())["rules"]
    rule = next(rule["that"] for rule in rules if rule["variable"] == "deploy_watch_seconds")
    assert value("deploy", rule.strip().strip("{}"), **given) is allowed
