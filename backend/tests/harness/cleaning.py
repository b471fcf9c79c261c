"""The command check-data --clean --yes, and duplicates for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.cluster import Database
from harness.commands import command
from harness.rows import Rows


def cleaned(database: Database, saved: Path, status: int = 0) -> list[dict[str, Any]]:
    """Clean; return what was saved."""
    done = command(database, "check-data", "--clean", "--yes", "--saved-to", str(saved))
    assert done.returncode == status, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(saved.read_text())
    return found


def apply_twice(rows: Rows, one: dict[str, Any], other: dict[str, Any]) -> tuple[int, int]:
    """Two applications of one candidate for one job."""
    job, candidate = rows.job(), rows.candidate().profile_id
    first, second = (
        rows.insert("job_applications", job_id=job, candidate_id=candidate, **values)
        for values in (one, other)
    )
    return first, second


def statuses(database: Database) -> dict[int, str]:
    return dict(database.rows("SELECT id, status FROM job_applications"))
