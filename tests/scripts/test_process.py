"""Programs that scripts start: their output is kept, and they end with us."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from scripts.support import process
from scripts.support.console import Failure

DEADLINE = 20


def test_output_goes_to_the_log_and_to_the_watcher(tmp_path: Path) -> None:
    seen: list[str] = []
    status = process.run(["sh", "-c", "echo one; echo two >&2; exit 3"], tmp_path / "log", watch=seen.append)
    assert status == 3
    assert seen == ["one", "two"]
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["one", "two"]


def test_a_failure_shows_the_end_of_the_log_and_the_advice(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        process.must(["sh", "-c", "echo the reason; exit 1"], tmp_path / "log", advice="Do that.")
    assert "the reason" in str(caught.value)
    assert str(caught.value).endswith("Do that.")


def test_the_end_of_a_log_is_where_it_went_wrong_not_the_cleaning_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "INFO one\nfatal: the reason\nCRITICAL Ansible return code was 2\n" + "cleaning up\n" * 100
    )
    assert process.tail(log, 2) == "    fatal: the reason\n    CRITICAL Ansible return code was 2"


def test_a_program_has_no_input_to_wait_for(tmp_path: Path) -> None:
    assert process.run(["cat"], tmp_path / "log") == 0


def test_what_a_program_left_behind_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"sleep 1000 >/dev/null 2>&1 & echo $! > {mark}"
    process.run(["sh", "-c", script], tmp_path / "log")
    child = Path("/proc", mark.read_text().strip(), "stat")
    waiting = threading.Event()
    for _ in range(DEADLINE * 20):
        if not child.exists() or child.read_text().split()[2] == "Z":
            break
        waiting.wait(0.05)
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_everything_can_be_ended_from_another_thread(tmp_path: Path) -> None:
    started = threading.Event()
    statuses: list[int] = []
    command = ["sh", "-c", "echo up; exec sleep 1000"]
    work = threading.Thread(
        target=lambda: statuses.append(
            process.run(command, tmp_path / "log", watch=lambda _line: started.set())
        )
    )
    work.start()
    assert started.wait(DEADLINE)
    process.end_all()
    work.join(DEADLINE)
    assert statuses == [-15]
