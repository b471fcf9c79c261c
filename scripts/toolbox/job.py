"""What every job does: it ends in order when it is told to, says what it does as it goes, and leaves its figures."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

from toolbox import output

# Among the figures of a backup from its begin to its end; one that is found later is of a backup that was cut off.
BEGUN = "bundle_backup_begun_timestamp_seconds"


class EndedError(Exception):
    """systemd's time limit, or a person, ends the job."""


def end_in_order() -> None:
    """Let SIGTERM raise EndedError, so that what was begun is undone and the figures say that it failed."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    raise EndedError(
        f"it was ended by {signal.Signals(number).name}, by a person or because its time was over"
    )


def told(line: str) -> None:
    """Pass on what a program says, to the terminal or the journal, as it comes."""
    print(line, file=sys.stderr, flush=True)


def backup_figures(directory: Path, kind: str) -> Path:
    """Where the figures of a kind of backup are."""
    return directory / f"bundle_backup_{kind}.prom"


def keep_figures(path: Path, report: output.Report) -> None:
    """Write the figures; of a job that failed the time of the last good one stays."""
    names = {metric.name for metric in report.metrics}
    kept = [metric for metric in output.read_metrics(path) if metric.name not in names]
    output.write_metrics(path, [*report.metrics, *kept])
