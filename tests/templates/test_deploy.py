"""What the role deploy says of a step that failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
