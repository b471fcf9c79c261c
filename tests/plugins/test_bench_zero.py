"""`scripts/bench zero` shows what tests under load wrote into their report, which a real pytest writes here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import zero  # noqa: E402

TEST = """
def test_event(record_property):
    figures = '{"seconds": 10.0, "requests": 1050, "failed": FAILED, "worst_ms": 431.6, "p99_ms": 80.2}'
    record_property("load: a release is deployed", figures)
    record_property("another", "property")
"""


@pytest.fixture
def report(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A report with one event, in which as many requests failed as the test says."""
    (tmp_path / "test_it.py").write_text(TEST.replace("FAILED", str(request.param)))
    file = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", tmp_path]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    return file


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, ROOT / "scripts" / "bench", "zero", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("report", [0], indirect=True)
def test_an_event_is_shown_with_its_figures(report: Path) -> None:
    done = bench(report)
    heading, row = done.stdout.splitlines()
    assert heading.split() == [
        "event",
        "requests",
        "a",
        "second",
        "failed",
        "worst",
        "ms",
        "p99",
        "ms",
        "measured",
    ]
    assert row.split()[:9] == ["a", "release", "is", "deployed", "1,050", "105", "0", "432", "80"]
    assert done.returncode == 0


@pytest.mark.parametrize("report", [3], indirect=True)
def test_a_failed_request_is_a_miss(report: Path) -> None:
    done = bench(report)
    assert "a release is deployed: 3 of 1,050 requests failed; none was to" in done.stdout
    assert done.returncode == 1


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text("no report")
    done = bench(tmp_path / "report.xml")
    assert done.returncode == 1
    assert f"{tmp_path / 'report.xml'} is no report of tests" in done.stderr


def test_a_report_without_an_event_says_what_measures_them(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(
        '<testsuites><testsuite timestamp="2026-11-26T07:00:00"/></testsuites>'
    )
    done = bench(tmp_path / "report.xml")
    assert done.returncode == 1
    assert "scripts/bench zero measures them" in done.stderr


@pytest.mark.parametrize(("event", "test"), zero.TESTS.items())
def test_the_test_of_an_event_is_there_and_is_called_so(event: str, test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text()
    assert f"def {name}(" in text
    assert f'"{event}"' in text


def test_an_event_under_too_little_load_is_a_miss_and_one_that_did_not_happen_too() -> None:
    slow, *others = zero.TESTS
    events = [{"event": slow, "requests": 900, "seconds": 10.0}]
    events += [{"event": event, "requests": 1050, "seconds": 10.0} for event in others[1:]]
    misses = zero.Zero("zero", "", details={"events": events}).of_the_load()
    assert misses == [
        f"{slow}: 90 requests a second, at least 100 a second were to be",
        f"{others[0]}: was not measured, at least 100 a second were to be",
    ]
