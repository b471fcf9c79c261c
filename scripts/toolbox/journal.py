"""What a restore has done so far, so that one that was killed is finished or undone by the next command."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolbox.targets import Target

# In their order. From `switching` on it only goes on, or back by the one who switches.
PHASES = ("restoring", "prepared", "switching", "switched")
NAME = "restore.json"


class JournalError(Exception):
    """The journal cannot be read; the message says what to do."""


@dataclass
class Journal:
    """A restore. `directory` is the restored cluster's, `live` where it goes, `kept` where the one before goes."""

    phase: str
    target: Target
    directory: Path
    live: Path
    kept: Path
    began: str
    backup: str = ""
    timeline: int = 0
    new_timeline: int = 0
    # Whether there was a cluster in `live` when the switch began.
    had_live: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    def write(self, state: Path, phase: str | None = None) -> None:
        """Keep it, in the next phase if one is given; when this returns it survives a power cut."""
        self.phase = phase or self.phase
        values = asdict(self) | {name: str(getattr(self, name)) for name in ("directory", "live", "kept")}
        new = state / f".{NAME}.new"
        with new.open("w") as file:
            json.dump(values, file, indent=2, default=str)
            file.flush()
            os.fsync(file.fileno())
        new.rename(state / NAME)
        sync(state)


def read(state: Path) -> Journal | None:
    """The restore that is under way; None where there is none.

    Raises:
        JournalError: it is damaged.
    """
    path = state / NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text())
        values |= {name: Path(values[name]) for name in ("directory", "live", "kept")}
        return Journal(**values | {"target": Target(**values["target"])})
    except (ValueError, TypeError, KeyError) as error:
        raise JournalError(
            f"{path} cannot be read: {error}. See docs/runbooks/restore.md, 'The journal is damaged'"
        ) from error


def forget(state: Path) -> None:
    """The restore is over."""
    (state / NAME).unlink(missing_ok=True)
    sync(state)


def sync(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
