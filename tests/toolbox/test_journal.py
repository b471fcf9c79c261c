"""The journal of a restore survives what ends the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox import journal
from toolbox.journal import Journal, JournalError
from toolbox.targets import parse


def note() -> Journal:
    """A restore that is prepared."""
    places = (Path("/data/main.restored"), Path("/data/main"), Path("/data/main.before"))
    return Journal(
        "prepared", parse("xid", "754"), *places, began="2026-01-06 12:00:00+00", report={"title": "Restore"}
    )


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    note().write(tmp_path, "switching")
    assert journal.read(tmp_path) == Journal(**vars(note()) | {"phase": "switching"})


def test_where_no_restore_is_under_way_there_is_none(tmp_path: Path) -> None:
    note().write(tmp_path)
    journal.forget(tmp_path)
    assert journal.read(tmp_path) is None


def test_one_that_is_damaged_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / journal.NAME).write_text('{"phase": "switch')
    with pytest.raises(JournalError, match=r"docs/runbooks/restore\.md"):
        journal.read(tmp_path)
