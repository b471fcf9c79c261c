"""Counters that only grow, and what came since the run before: a total since last year says nothing about today."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolbox.database import DatabaseError, Session

COUNTERS = """
SELECT blks_hit, blks_read, deadlocks, temp_files, temp_bytes, xact_commit, xact_rollback,
       coalesce(stats_reset::text, '') AS reset
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Counters:
    """The totals, and those of the run before if they can be compared."""

    totals: dict[str, int]
    reset: str
    before: dict[str, int] | None = None
    # Seconds since the run before.
    seconds: float = 0.0

    def since(self, name: str) -> int | None:
        """What came since the run before; None if there was none."""
        return None if self.before is None else self.totals[name] - self.before[name]


def read_counters(session: Session, file: Path | None) -> Counters:
    """The counters of the database; with the run before that `file` remembers. DatabaseError if it is no such file."""
    row = session.row(COUNTERS)
    reset = str(row.pop("reset"))
    totals = {name: int(value) for name, value in row.items()}
    kept = _kept(file, session.database) if file else None
    # Statistics that were reset, or lost in a crash, begin anew.
    if kept is None or kept["reset"] != reset or any(kept["totals"][name] > totals[name] for name in totals):
        return Counters(totals, reset)
    return Counters(totals, reset, kept["totals"], max(0.0, time.time() - kept["time"]))


def keep_counters(counters: Counters, session: Session, file: Path) -> None:
    """Remember them for the run after this. OSError if the file cannot be written."""
    content = {
        "database": session.database,
        "time": time.time(),
        "reset": counters.reset,
        "totals": counters.totals,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
        json.dump(content, new)
        os.fchmod(new.fileno(), 0o644)
    Path(new.name).replace(file)


def _kept(file: Path, database: str) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DatabaseError(f"cannot read --state {file}: {error}; remove it to begin anew") from error
    if not isinstance(found, dict) or found.keys() != {"database", "time", "reset", "totals"}:
        raise DatabaseError(f"--state {file} was not written by this command; name another file")
    if found["database"] != database:
        raise DatabaseError(
            f"--state {file} is of database {found['database']}; each needs a file of its own"
        )
    return found
