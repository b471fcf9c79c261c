"""What packages_finished takes for the leftover of a killed apt, and how it waits for a living one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages_finished import NOTHING_STARTS, BusyError, is_leftover, locked, nothing_starts, take_away

OWN = "#!/bin/sh\n# Ours: the database starts by hand.\nexit 101\n"
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """What stands for /usr/sbin/policy-rc.d, as a killed module leaves it."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text(NOTHING_STARTS)
    return policy


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A lock file, and another process that holds it."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield path, process
        process.kill()


def set_aside(directory: Path, name: str, content: str) -> Path:
    """A policy that Ansible's module apt moved out of its way."""
    file = directory / name / "policy-rc.d"
    file.parent.mkdir()
    file.write_text(content)
    return file


def test_leftover_is_removed_when_nothing_was_there_before(policy: Path, tmp_path: Path) -> None:
    assert is_leftover(policy)
    take_away(policy, tmp_path)
    assert not policy.exists()


def test_policy_that_was_put_aside_comes_back_with_its_mode(policy: Path, tmp_path: Path) -> None:
    own = set_aside(tmp_path, "ansible1a2b3c4d", OWN)
    own.chmod(0o755)
    take_away(policy, tmp_path)
    assert policy.read_text() == OWN
    assert policy.stat().st_mode & 0o777 == 0o755
    assert not own.parent.exists()


def test_leftover_that_a_second_killed_run_put_aside_does_not_come_back(policy: Path, tmp_path: Path) -> None:
    set_aside(tmp_path, "ansible1a2b3c4d", NOTHING_STARTS)
    take_away(policy, tmp_path)
    assert not policy.exists()


@pytest.mark.parametrize("content", [OWN, "", "#!/bin/sh\nexit 0\n", f"{NOTHING_STARTS}\n"])
def test_policy_of_any_other_form_is_somebodys_own(policy: Path, content: str) -> None:
    policy.write_text(content)
    assert not is_leftover(policy)


def test_link_to_such_a_policy_is_somebodys_own(policy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(policy)
    assert not is_leftover(link)


def test_nothing_starts_meanwhile(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with nothing_starts(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()


def test_policy_of_somebodys_own_stays_as_it_is_meanwhile(policy: Path) -> None:
    policy.write_text(OWN)
    with nothing_starts(policy):
        assert policy.read_text() == OWN
    assert policy.read_text() == OWN


def test_lock_that_another_process_keeps_is_given_up_with_its_name(
    lock: tuple[Path, subprocess.Popen[str]],
) -> None:
    path, process = lock
    with (
        pytest.raises(BusyError, match=f"process {process.pid} holds {path}"),
        locked(path, time.monotonic()),
    ):
        pass


def test_lock_that_another_process_gives_back_is_waited_for(
    lock: tuple[Path, subprocess.Popen[str]],
) -> None:
    path, process = lock
    process.kill()
    with locked(path, time.monotonic() + 20):
        pass
