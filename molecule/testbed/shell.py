"""Running programs of the outer machine, with errors that say what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class TestbedError(Exception):
    """What went wrong and what to do about it; the command line prints it and exits 1."""

    __test__ = False  # the name begins like a test class


def call(*argv: str | Path, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; TestbedError with the end of its output if it fails and `check` is set."""
    command = [str(part) for part in argv]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise TestbedError(f"`{' '.join(command)}` ended with {done.returncode}:\n{last_lines(output, 20)}")
    return done


def last_lines(text: str, count: int) -> str:
    """The last `count` lines of a text."""
    return "\n".join(text.splitlines()[-count:])


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Poll until `condition` holds; False when `seconds` have passed first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def say(message: str) -> None:
    """One line of progress for the person who waits."""
    print(f"testbed: {message}", file=sys.stderr, flush=True)


def need_programs(programs: dict[str, str]) -> None:
    """Install the packages of the programs that are missing. `programs` maps a program to its package."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not missing:
        return
    say(f"installing {', '.join(missing)}")
    apt_install(missing)


def apt_install(packages: Sequence[str]) -> None:
    """Install Debian packages, waiting for another apt's lock for up to five minutes."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    commands = [["apt-get", *options, "update"]]
    commands += [["apt-get", *options, "install", "--no-install-recommends", *packages]]
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise TestbedError(
                f"`{' '.join(command)}` ended with {done.returncode}:\n"
                f"{last_lines(done.stdout + done.stderr, 15)}\n"
                "Check the package mirror in /etc/apt/sources.list* and run this again."
            )
