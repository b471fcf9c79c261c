"""scripts/test: which phases run, what counts as a failure, and the closing lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.support import phases, suite, trial
from scripts.support.junit import Count
from scripts.support.phases import Phase

ROOT = Path(__file__).resolve().parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


@pytest.fixture(autouse=True)
def _own_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(suite, "JUNIT", tmp_path / "junit")


def with_tests(tmp_path: Path, text: str) -> Phase:
    """A phase that runs pytest on one file with this text."""
    (tmp_path / "test_sample.py").write_text(text)
    junit = tmp_path / "junit" / "sample.xml"
    command = [*PYTEST, f"--junitxml={junit}", "--rootdir", str(tmp_path), str(tmp_path / "test_sample.py")]
    return Phase("sample", [command], junit=junit)


def test_a_failed_phase_keeps_no_other_from_running() -> None:
    results = suite.Suite([Phase("bad", [["false"]]), Phase("good", [["true"]])]).run()
    assert [(result.phase.name, result.passed) for result in results] == [("bad", False), ("good", True)]


def test_a_phase_stops_at_its_first_failed_command(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (result,) = suite.Suite([Phase("two", [["false"], ["touch", str(mark)]])]).run()
    assert not result.passed
    assert not mark.exists()


def test_tests_are_counted_and_the_phase_with_them(tmp_path: Path) -> None:
    (result,) = suite.Suite([with_tests(tmp_path, "def test_a(): pass\ndef test_b(): pass\n")]).run()
    assert result.tests == Count(2, 0)
    assert result.total == Count(3, 0)


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("", Count(0, 0)),
        ("def test_a(): assert False\n", Count(0, 1)),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", Count(0, 1)),
    ],
    ids=["no test ran", "one failed", "one was skipped"],
)
def test_a_phase_without_only_passed_tests_has_failed(tmp_path: Path, text: str, tests: Count) -> None:
    (result,) = suite.Suite([with_tests(tmp_path, text)]).run()
    assert not result.passed
    assert result.tests == tests


def test_a_count_of_an_earlier_run_is_not_taken_for_this_one(tmp_path: Path) -> None:
    phase = with_tests(tmp_path, "def test_a(): pass\n")
    suite.Suite([phase]).run()
    (result,) = suite.Suite([Phase("sample", [["true"]], junit=phase.junit)]).run()
    assert result.reason == "no test ran"


def test_the_report_ends_with_the_plain_sum() -> None:
    good = suite.Result(Phase("unit", [], junit=Path("x")), True, 1.0, Count(7, 0))
    bad = suite.Result(Phase("lint", []), False, 1.0, Count())
    assert suite.report([good, bad], 2.0).splitlines()[-1] == "8 passed, 1 failed"


def test_a_failure_says_how_to_repeat_just_that(capsys: pytest.CaptureFixture[str]) -> None:
    suite.Suite([Phase("lint-yaml", [["sh", "-c", "echo the reason; exit 1"]])]).run()
    told = capsys.readouterr().out
    assert "the reason" in told
    assert "scripts/test --only lint-yaml" in told


def test_failed_tests_are_named_with_their_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite.Suite([with_tests(tmp_path, "def test_bread(): assert 'stale' == 'fresh'\n")]).run()
    told = capsys.readouterr().out
    assert "test_sample::test_bread: AssertionError" in told


def test_every_scenario_is_a_phase() -> None:
    names = {phase.name for phase in phases.all_phases()}
    assert {f"molecule-{path.parent.name}" for path in (ROOT / "molecule").glob("*/molecule.yml")} <= names


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--scenario", "nothing"], ["--slow"]])
def test_a_wrong_argument_is_refused_before_anything_happens(arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "test"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: scripts/test" in done.stderr


def test_every_run_of_a_phase_is_removed_by_ci() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    removed = re.search(r"for run in (.+?);", text)
    assert removed
    assert set(removed[1].split()) == {run for phase in phases.all_phases() for run in phase.runs}


def test_a_host_of_scripts_try_is_not_replaced_by_a_test(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program = {"__file__": str(ROOT / "scripts" / "test"), "__name__": "scripts_test"}
    exec((ROOT / "scripts" / "test").read_text(), program)
    (tmp_path / "runs" / "try").mkdir(parents=True)
    monkeypatch.setattr(trial, "STATE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["scripts/test", "--only", "try"])
    assert program["main"]() == 1
    told = capsys.readouterr()
    assert "The host of scripts/try is there" in told.err
    assert told.out.splitlines()[-1] == "0 passed, 1 failed"
