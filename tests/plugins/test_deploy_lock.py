"""The lock of the deploys: one run at a time, and a dead run's lock is taken over. Every run here is a real process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import deploy_lock  # the module; the action plugin of the same name is loaded by its path
import pytest
import yaml
from real_module import ROOT, answer, run, start, wait_until

SPEC = spec_from_file_location("deploy_lock_action", ROOT / "plugins/action/deploy_lock.py")
assert SPEC
assert SPEC.loader
ACTION: Any = module_from_spec(SPEC)
SPEC.loader.exec_module(ACTION)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def holder(process: int, **more: Any) -> dict[str, Any]:
    return {
        "controller": platform.node(),
        "machine": ACTION.machine(),
        "boot": ACTION.boot_id(),
        "pid": str(process),
        "started": ACTION.started_at(process),
        "user": "ada",
        "since": "2026-11-22T03:00:00+00:00",
        "purpose": "deploying release aaa",
    } | more


def take(path: Path, me: dict[str, Any], **options: Any) -> dict[str, Any]:
    said: dict[str, Any] = run("deploy_lock", path=str(path), holder=me, **options)
    return said


def play(directory: Path, *tasks: dict[str, Any]) -> list[str]:
    """Return the command of a playbook with these tasks on this machine."""
    content = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}
    content["vars"] = {"ansible_python_interpreter": sys.executable}
    (directory / "play.yml").write_text(yaml.safe_dump([content]))
    return [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "--inventory=localhost,",
        str(directory / "play.yml"),
    ]


def playing(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        start_new_session=True,
    )


def test_lock_is_taken_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "deep/deploy.lock"
    assert "held_by" not in take(path, holder(os.getpid()))
    assert json.loads(path.read_text())["user"] == "ada"
    take(path, holder(os.getpid()), state="released")
    assert list(path.parent.iterdir()) == []


def test_second_run_is_told_who_holds_the_lock(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    first = holder(sleeper.pid)
    take(tmp_path / "lock", first)
    assert take(tmp_path / "lock", holder(os.getpid()))["held_by"] == first


def test_run_may_take_its_own_lock_again(tmp_path: Path) -> None:
    take(tmp_path / "lock", holder(os.getpid()))
    assert "held_by" not in take(tmp_path / "lock", holder(os.getpid(), purpose="another step"))


def test_lock_is_given_back_by_its_holder_only(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    take(tmp_path / "lock", holder(sleeper.pid))
    take(tmp_path / "lock", holder(os.getpid()), state="released")
    assert (tmp_path / "lock").exists()


def test_check_mode_takes_no_lock(tmp_path: Path) -> None:
    take(tmp_path / "lock", holder(os.getpid()), _ansible_check_mode=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dead", [None, "99999999"])
def test_exactly_one_of_many_takers_gets_the_lock(tmp_path: Path, dead: str | None) -> None:
    path = tmp_path / "lock"
    gone = holder(os.getpid(), pid=dead)
    if dead:
        path.write_text(json.dumps(gone))
    options = {"path": str(path)} | ({"take_over": gone} if dead else {})
    running = [
        start("deploy_lock", {**options, "holder": holder(os.getpid(), pid=str(n))}) for n in range(1, 9)
    ]
    winners = [n for n, process in enumerate(running, 1) if "held_by" not in answer(process)]
    assert len(winners) == 1
    assert json.loads(path.read_text())["pid"] == str(winners[0])


def test_lock_that_another_run_took_over_meanwhile_is_left(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    dead, alive = holder(os.getpid(), pid="99999999"), holder(sleeper.pid)
    take(tmp_path / "lock", alive)
    assert take(tmp_path / "lock", holder(os.getpid()), take_over=dead)["held_by"] == alive


@pytest.mark.parametrize("text", ["", '{"user": "ad', "null", "[]", "{}", "7", '{"pid": "1"}', "\udcff"])
def test_lock_file_that_names_nobody_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_bytes(text.encode(errors="surrogateescape"))
    assert deploy_lock.read(tmp_path / "lock") is None
    assert "held_by" not in take(tmp_path / "lock", holder(os.getpid()))


def test_running_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    assert not ACTION.is_dead(holder(sleeper.pid))


def test_killed_process_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    lock = holder(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert ACTION.is_dead(lock)


def test_killed_process_that_nobody_waited_for_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    lock = holder(sleeper.pid)
    sleeper.kill()
    wait_until(lambda: ACTION.is_dead(lock), "a dead holder")


def test_later_process_with_the_same_number_is_not_the_holder(sleeper: subprocess.Popen[bytes]) -> None:
    assert ACTION.is_dead(holder(sleeper.pid, started="1"))


def test_process_of_an_earlier_boot_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    assert ACTION.is_dead(holder(sleeper.pid, boot="an earlier one"))


@pytest.mark.parametrize("other", [{"controller": "elsewhere"}, {"machine": "a twin with this name"}])
def test_holder_on_another_controller_counts_as_alive(other: dict[str, str]) -> None:
    assert not ACTION.is_dead(holder(os.getpid(), pid="99999999", boot="of another machine", **other))


def test_run_that_finds_a_holder_elsewhere_says_who_since_when_for_what_and_what_to_do(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "lock"
    lock.write_text(json.dumps(holder(os.getpid(), controller="elsewhere")))
    out, _ = playing(play(tmp_path, {"deploy_lock": {"path": str(lock)}})).communicate()
    words = " ".join(out.split())
    assert f"Another run holds {lock}: ada on elsewhere (process {os.getpid()})" in words
    assert "since 2026-11-22T03:00:00+00:00, deploying release aaa" in words
    assert "remove the file on localhost and run again" in words
    assert json.loads(lock.read_text())["controller"] == "elsewhere"


def test_lock_of_a_killed_run_is_taken_over_and_given_back(tmp_path: Path) -> None:
    lock, second = tmp_path / "lock", tmp_path / "second"
    second.mkdir()
    held = {"deploy_lock": {"path": str(lock), "purpose": "deploying release aaa"}}
    # It outlives its killed run on this machine; it ends with these tests.
    waiting = {"ansible.builtin.command": f"tail --follow --pid={os.getpid()} /dev/null"}
    running = playing(play(tmp_path, held, waiting))
    wait_until(lambda: deploy_lock.read(lock) is not None, "a lock")
    refused, _ = playing(play(second, held)).communicate()
    os.killpg(running.pid, 9)
    running.wait()
    released = {"deploy_lock": {"path": str(lock), "state": "released"}}
    out, _ = playing(play(second, held, released)).communicate()
    assert "Another run holds" in refused
    assert "Taking over the lock of a run that is gone" in " ".join(out.split())
    assert "failed=0" in out
    assert not lock.exists()
