"""Counting tests: from the JUnit files that pytest writes, never from what it prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Count:
    """How many tests passed and failed. A skipped one counts as failed: nothing is left out silently."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)


def failures(path: Path) -> list[str]:
    """`FILE::TEST: the first line of the message` of each test that failed or was skipped."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314  (as below)
    except (FileNotFoundError, ET.ParseError):
        return []
    found = []
    for case in root.iter("testcase"):
        for kind in ("failure", "error", "skipped"):
            problem = case.find(kind)
            if problem is not None:
                reason = (problem.get("message") or kind).strip().splitlines()[0]
                found.append(f"{case.get('classname', '')}::{case.get('name')}: {reason[:160]}")
                break
    return found


def count(path: Path) -> Count:
    """Count the tests of one file; nothing ran if the file is not there or was cut short."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314  (written by our own pytest a moment ago)
    except (FileNotFoundError, ET.ParseError):
        return Count()
    failed = passed = 0
    for case in root.iter("testcase"):
        if any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
            failed += 1
        else:
            passed += 1
    return Count(passed, failed)
