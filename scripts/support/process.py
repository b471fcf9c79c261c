"""Running a long program: all it says goes into a log, and it ends when we do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from scripts.support.console import Failure
from scripts.support.paths import ROOT, shown

GRACE_SECONDS = 30
_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    watch: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> int:
    """Run a program in a process group of its own and return its exit status; `watch` gets each line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as handle:
        handle.write(f"$ {' '.join(str(part) for part in command)}\n")
        handle.flush()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        with _lock:
            _running.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                handle.write(line)
                handle.flush()
                if watch and line.strip():
                    watch(line.strip())
            return process.wait()
        finally:
            end(process)
            with _lock:
                _running.discard(process)


def must(
    command: Sequence[str | Path],
    log: Path,
    *,
    watch: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    advice: str = "",
) -> None:
    """Run a program; Failure with the end of its log, and the advice, if it does not succeed."""
    status = run(command, log, watch=watch, env=env, cwd=cwd)
    if status != 0:
        raise Failure(
            f"`{' '.join(str(part) for part in command)}` ended with {status}. The end of {shown(log)}:\n"
            f"{tail(log)}\n{advice}".rstrip()
        )


# Molecule's line about the step that failed; after it comes only its cleaning up.
FAILED_STEP = re.compile(r"(CRITICAL|ERROR) ")


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log, indented; of Molecule's, the lines before it began to clean up."""
    text = log.read_text(errors="replace").rstrip().splitlines() if log.is_file() else ["(no log)"]
    end = next((number for number, line in enumerate(text, 1) if FAILED_STEP.match(line)), len(text))
    return "\n".join(f"    {line}" for line in text[max(0, end - lines) : end])


def end(process: subprocess.Popen[str]) -> None:
    """End a program and all it started, which may outlive it; first asked, then killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_all() -> None:
    """End everything that runs, from another thread than the ones that wait for it."""
    with _lock:
        processes = list(_running)
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        end(process)


def ignore_signals() -> None:
    """From here on nothing but SIGKILL keeps us from cleaning up."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def interrupt_on_signals() -> None:
    """Make SIGTERM and SIGHUP what Ctrl-C is, so that all three clean up the same way."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
