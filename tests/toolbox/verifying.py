"""What tests of damaged repositories share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from toolbox import output

Look = Callable[..., output.Report]


def damage(path: Path, at: int = 100) -> None:
    """Change four bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(4)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in before))


def critical(report: output.Report) -> str:
    """All critical findings, a line each."""
    return "\n".join(f"{one.subject}: {one.message}" for one in report.findings if one.level == "critical")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, f"{what}: not within 60 s"
        time.sleep(0.1)
