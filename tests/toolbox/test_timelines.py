"""WAL across a real switch of timelines, whose history is read from the encrypted repository."""

from __future__ import annotations

import pytest
from original import STANZA, Original
from verifying import Look, critical, until


@pytest.fixture(scope="module")
def switched(original: Original) -> dict[str, list[str]]:
    """The segments of timeline 1 after its full backup, and of timeline 2, on which no backup was made."""
    original.back_up("full")
    before = [original.archive() for _ in range(2)]
    original.stop()
    # Recovery that finds nothing to recover ends at once, on a timeline of its own.
    original.as_postgres(["touch", str(original.data / "recovery.signal")])
    original.start(restore_command="false")
    with original.connect() as session:
        until(lambda: session.execute("SELECT pg_is_in_recovery()").fetchone() == (False,), "its end")
    return {"1": before, "2": [original.archive() for _ in range(3)]}


def test_line_leads_from_a_backup_to_the_newest_moment_of_the_next_timeline(
    switched: dict[str, list[str]], look: Look
) -> None:
    assert switched["2"][0].startswith("00000002")
    report = look()
    assert report.exit_status == 0, report.text()


@pytest.mark.parametrize(("timeline", "place"), [("1", 1), ("2", 0), ("2", 1)])
def test_missing_segment_on_either_side_of_the_switch_is_named(
    switched: dict[str, list[str]], intact: Original, look: Look, timeline: str, place: int
) -> None:
    name = switched[timeline][place]
    intact.stored(name).unlink()
    assert f"{name} missing (1 segment): no moment" in critical(look(quick=True))


def test_history_that_is_gone_leaves_no_way_to_the_timeline(
    switched: dict[str, list[str]], intact: Original, look: Look
) -> None:
    (history,) = intact.repository.glob(f"archive/{STANZA}/*/00000002.history")
    history.unlink()
    assert "no backup leads to timeline 2: 15-1 has no 00000002.history" in critical(look(quick=True))
