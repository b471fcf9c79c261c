"""A clone recovers to where it is told, says truly where it is, and leaves the archive alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from original import STANZA, Original
from toolbox import pgbackrest
from toolbox.cluster import Arrival, BeforeConsistencyError, Clone, ClusterError, NotReachedError
from toolbox.pgbackrest import Backup
from toolbox.targets import Target, parse


@dataclass
class Past:
    """What was done to the original, in this order."""

    first: Backup
    noted: int
    moment: datetime
    later: int
    last_segment: str
    # The backup, restored and never started.
    restored: Path


@pytest.fixture(scope="module")
def past(original: Original) -> Past:
    """A backup, a row, a restore point, a moment, a second table, and a row after it."""
    label = original.back_up("full")
    first = next(one for one in pgbackrest.info(STANZA).backups if one.label == label)
    noted = original.note("just before")
    original.restore_point("before it")
    moment = original.moment()
    with original.connect("product") as session:
        session.execute("CREATE TABLE later AS SELECT pg_current_xact_id()::text AS xid")
        row = session.execute("SELECT xid FROM later").fetchone()
        assert row
    original.note("after")
    restored = Clone(original.known, original.home / "15/restored", original.home / "state/restored")
    restored.restore(first, ignore)
    return Past(first, noted, moment, int(row[0]), original.archive(), restored.directory)


@pytest.fixture
def clone(original: Original) -> Iterator[Clone]:
    """A place for a clone."""
    made = Clone(original.known, original.home / "15/clone", original.home / "state/clone")
    yield made
    made.remove()


def ignore(_line: str) -> None:
    """What pgBackRest says is not looked at."""


def notes(clone: Clone) -> list[str]:
    """The rows of the table."""
    with clone.connect("product") as session:
        return [row[0] for row in session.execute("SELECT text FROM notes ORDER BY id")]


def recover(
    clone: Clone, past: Past, target: Target, *, becomes_live: bool = False, fetch_seconds: float = 30
) -> Arrival:
    """Recover to the target, from a copy of the restored backup: pgBackRest takes seconds, each time."""
    clone.private.mkdir(mode=0o700)
    shutil.chown(clone.private, pgbackrest.USER, pgbackrest.USER)
    subprocess.run(["cp", "-a", str(past.restored), str(clone.directory)], check=True)
    clone.start(target, becomes_live=becomes_live)
    return clone.arrive(target, last_segment=past.last_segment, fetch_seconds=fetch_seconds)


def test_it_stops_at_a_moment_with_the_rows_before_it_and_none_after(clone: Clone, past: Past) -> None:
    arrival = recover(clone, past, parse("time", past.moment.isoformat()))
    assert notes(clone) == ["just before"]
    assert arrival.last_commit is not None
    assert arrival.last_commit <= past.moment
    assert arrival.left_out_xid == past.later


def test_it_stops_at_a_restore_point(clone: Clone, past: Past) -> None:
    arrival = recover(clone, past, parse("name", "before it"))
    assert arrival.said.startswith('recovery stopping at restore point "before it"')
    assert notes(clone) == ["just before"]


@pytest.mark.parametrize(("exclusive", "rows"), [(False, ["just before"]), (True, [])])
def test_it_stops_after_a_transaction_or_just_before_it(
    clone: Clone, past: Past, exclusive: bool, rows: list[str]
) -> None:
    recover(clone, past, parse("xid", str(past.noted), exclusive=exclusive))
    assert notes(clone) == rows


def test_it_goes_to_the_end_of_the_archive_and_waits_there(clone: Clone, past: Past) -> None:
    recover(clone, past, parse("time", "latest"))
    assert notes(clone) == ["just before", "after", "the last of its segment"]


def test_it_is_not_taken_for_arrived_when_the_archive_ends_before_the_moment(
    clone: Clone, past: Past
) -> None:
    with pytest.raises(
        NotReachedError, match=r"not reached: the archive's WAL ends before it; its last transaction"
    ):
        recover(clone, past, parse("time", (past.moment + timedelta(days=1)).isoformat()))


def test_it_is_not_taken_for_arrived_when_nobody_made_the_restore_point(clone: Clone, past: Past) -> None:
    with pytest.raises(NotReachedError, match="the restore point 'unheard of' was not reached"):
        recover(clone, past, parse("name", "unheard of"))


def test_a_place_before_the_end_of_its_backup_is_told_apart(clone: Clone, past: Past) -> None:
    with pytest.raises(BeforeConsistencyError):
        recover(clone, past, parse("lsn", past.first.lsn_first))


def test_the_end_of_the_archive_is_not_taken_for_reached_while_a_segment_is_missing(
    clone: Clone, past: Past
) -> None:
    # A segment that the archive is said to have.
    beyond = past.last_segment[:-2] + "FF"
    with pytest.raises(NotReachedError, match=f"goes on to {beyond}.*a segment is missing"):
        recover(clone, replace(past, last_segment=beyond), parse("time", "latest"), fetch_seconds=1)


def test_promoted_it_writes_on_a_timeline_of_its_own_and_archives_nothing(
    original: Original, clone: Clone, past: Past
) -> None:
    recover(clone, past, parse("xid", str(past.noted)), becomes_live=True)
    before = archived(original)
    assert clone.promote() == 2
    with clone.connect("product") as session:
        session.execute("INSERT INTO notes (text) VALUES ('of the clone')")
        session.execute("SELECT pg_switch_wal()")
        # What waits for its place in the archive is kept: the history of the timeline first of all.
        waiting = {row[0] for row in session.execute("SELECT name FROM pg_ls_archive_statusdir()")}
        assert "00000002.history.ready" in waiting
    assert archived(original) == before


def test_one_that_is_thrown_away_keeps_nothing_for_the_archive(clone: Clone, past: Past) -> None:
    recover(clone, past, parse("xid", str(past.noted)))
    clone.promote()
    with clone.connect() as session:
        session.execute("SELECT pg_switch_wal()")
        waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
        assert session.execute(waiting).fetchone() == (0,)


def test_nothing_of_the_recovery_stays_in_its_files(clone: Clone, past: Past) -> None:
    recover(clone, past, parse("xid", str(past.noted)))
    clone.promote()
    clone.stop()
    assert not (clone.directory / "recovery.signal").exists()
    settings = (clone.directory / "postgresql.auto.conf").read_text().splitlines()
    assert [line for line in settings if not line.startswith("#")] == []


def test_nobody_reaches_it_by_tcp(clone: Clone, past: Past) -> None:
    recover(clone, past, parse("xid", str(past.noted)))
    with clone.connect() as session:
        assert session.execute("SHOW listen_addresses").fetchone() == ("",)


def test_a_limit_that_was_raised_after_the_backup_is_taken_over(
    original: Original, clone: Clone, past: Past
) -> None:
    original.stop()
    original.start(max_connections="150")
    original.note("with more connections")
    segment = original.archive()
    recover(clone, replace(past, last_segment=segment), parse("time", "latest"))
    assert "with more connections" in notes(clone)


def test_a_directory_with_something_in_it_is_refused_and_not_touched(clone: Clone, past: Past) -> None:
    clone.directory.mkdir()
    (clone.directory / "precious").touch()
    with pytest.raises(ClusterError, match="is not empty"):
        clone.restore(past.first, ignore)
    assert [path.name for path in clone.directory.iterdir()] == ["precious"]


def test_removed_it_leaves_nothing(clone: Clone, past: Past) -> None:
    recover(clone, past, parse("xid", str(past.noted)))
    clone.remove()
    assert not clone.directory.exists()
    assert not clone.private.exists()


def archived(original: Original) -> list[str]:
    """The files of the archive."""
    return sorted(path.name for path in (original.home / "repository/archive").rglob("*") if path.is_file())
