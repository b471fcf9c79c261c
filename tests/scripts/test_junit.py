"""Counting tests from JUnit files."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.support.junit import Count, count

PASSED = '<testcase name="a"/>'


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        (PASSED * 3, Count(3, 0)),
        (PASSED + '<testcase name="b"><failure message="no"/></testcase>', Count(1, 1)),
        ('<testcase name="b"><error message="no"/></testcase>', Count(0, 1)),
        ("", Count(0, 0)),
    ],
)
def test_each_test_is_counted_once(tmp_path: Path, cases: str, expected: Count) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert count(path) == expected


def test_a_skipped_test_is_not_a_passed_one(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        '<testsuites><testsuite><testcase name="b"><skipped/></testcase></testsuite></testsuites>'
    )
    assert count(path) == Count(0, 1)


def test_a_file_that_is_missing_or_cut_short_counts_nothing(tmp_path: Path) -> None:
    cut = tmp_path / "cut.xml"
    cut.write_text("<testsuites><testsuite>" + PASSED)
    assert count(cut) == count(tmp_path / "missing.xml") == Count(0, 0)


def test_counts_add_up() -> None:
    assert sum([Count(2, 1), Count(3, 0)], Count()) == Count(5, 1)
