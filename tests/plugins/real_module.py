"""Run a module of ours as Ansible does on a host: a process of its own, its options as JSON, its answer as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

# The module's file as Ansible runs it, with our module_utils where Ansible puts them.
RUNNER = """
import runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
import ansible.module_utils.basic as basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
runpy.run_path(sys.argv[2], run_name="__main__")
"""


class Running(subprocess.Popen[str]):
    """A module's process; what it says goes to files, so that it never waits for a reader."""

    out: IO[str]
    err: IO[str]


def start(name: str, options: dict[str, Any], **popen: Any) -> Running:
    """Start the module with its options and return its process, the leader of a group of its own."""
    # Files without a name: they go when the process object does.
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = Running(
        [
            sys.executable,
            "-c",
            RUNNER,
            str(ROOT / "plugins/module_utils"),
            str(ROOT / "plugins/modules" / f"{name}.py"),
        ],
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        text=True,
        start_new_session=True,
        **popen,
    )
    process.out, process.err = out, err
    assert process.stdin
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_diff": True, **options}}))
    process.stdin.close()
    return process


def answer(process: Running) -> dict[str, Any]:
    """Wait for a started module and return what it answered; a traceback fails the test."""
    process.wait(timeout=60)
    process.out.seek(0)
    process.err.seek(0)
    out = process.out.read().strip()
    assert out.startswith("{"), f"the module gave no answer:\n{out}\n{process.err.read()}"
    said: dict[str, Any] = json.loads(out)
    return said


def run(name: str, /, **options: Any) -> dict[str, Any]:
    """Run the module to its end and return what it answered."""
    return answer(start(name, options))


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 20) -> None:
    """Wait until the condition is true; fail with `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"within {seconds:g} s there was not: {what}"
        time.sleep(0.005)
