"""A real archiver, and what the repository really has: failures that PostgreSQL reports, and those it does not see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import pytest
from original import Original
from toolbox import archiving, database, output
from toolbox.archiving import Server, Stored
from verifying import Look, critical, until

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


@contextmanager
def archiving_by(original: Original, command: str) -> Iterator[None]:
    """Let the archiver use another command while the block runs."""
    original.stop()
    original.start(archive_command=command)
    try:
        yield
    finally:
        original.stop()
        original.start()


def written(original: Original) -> str:
    """Write a segment to its end and return its name."""
    original.note("the last of its segment")
    return value(original, "SELECT pg_walfile_name(pg_switch_wal())")


def value(original: Original, query: LiteralString) -> str:
    """The only value of a query, as text."""
    with original.connect() as session:
        row = session.execute(query).fetchone()
    assert row
    return str(row[0])


def is_archived(original: Original, name: str) -> bool:
    """Whether PostgreSQL says that it archived a segment."""
    return value(original, "SELECT last_archived_wal FROM pg_stat_archiver") >= name


def figure(report: output.Report, name: str) -> float:
    """A figure of the report."""
    (found,) = (metric.value for metric in report.metrics if metric.name == f"bundle_archive_{name}")
    return found


def test_archive_that_has_all_is_well(intact: Original, ask: Look) -> None:
    segment = intact.archive()
    report = ask()
    assert report.exit_status == 0, report.text()
    assert figure(report, "lost_segments") == 0
    assert segment in {path.name[:24] for path in intact.repository.glob("archive/*/*/*/*")}


def test_command_that_ends_well_and_stores_nothing_is_noticed(intact: Original, ask: Look) -> None:
    intact.archive()
    with archiving_by(intact, "/bin/true"):
        segment = written(intact)
        until(lambda: is_archived(intact, segment), "the archiver's word that it is done")
        report = ask()
    assert report.exit_status == 2
    assert f"PostgreSQL says that {segment} is archived, and it is not there" in critical(report)
    assert figure(report, "lost_segments") == 1
    assert figure(report, "failures_total") == 0, "PostgreSQL itself sees no failure"


def test_command_that_never_stored_anything_is_noticed(intact: Original, ask: Look) -> None:
    segment = written(intact)
    until(lambda: is_archived(intact, segment), "the archiver's word that it is done")
    for path in intact.repository.glob("archive/*/*/*/*"):
        path.unlink()
    assert "archiving fails silently" in critical(ask())


def test_segment_that_went_from_the_repository_is_named(intact: Original, ask: Look) -> None:
    _, segment, _ = (intact.archive() for _ in range(3))
    intact.stored(segment).unlink()
    assert segment in critical(ask())


def test_wal_is_kept_and_goes_out_when_the_repository_is_back(
    intact: Original, ask: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "LATE", timedelta(0))
    intact.archive()
    away = intact.repository.rename(intact.home / "away")
    segment = written(intact)
    until(
        lambda: value(intact, "SELECT last_failed_wal FROM pg_stat_archiver") == segment,
        "an attempt",
    )
    report = ask()
    assert report.exit_status == 1
    assert "WAL is kept since" in report.text()
    assert "1 segments wait" in report.text()
    assert figure(report, "repository_up") == 0
    away.rename(intact.repository)
    until(lambda: is_archived(intact, segment), "the segment in the repository")
    assert intact.stored(segment).stat().st_size > 0
    assert ask().exit_status == 0


def test_archiver_without_a_command_is_critical(intact: Original, ask: Look) -> None:
    with archiving_by(intact, ""):
        assert "archive_command is empty: no WAL leaves this host" in critical(ask())


def test_database_that_does_not_answer_is_critical(
    intact: Original, ask: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SOCKETS", str(intact.home / "nowhere"))
    report = ask()
    assert report.exit_status == 2
    assert figure(report, "success") == 0


def server(*, waits_since: datetime | None = None) -> Server:
    """What PostgreSQL says at noon, with one file that waits."""
    ready = {"000000010000000000000009": waits_since} if waits_since else {}
    return Server("on", "pgbackrest", "000000010000000000000008", NOON, 0, 2**25, NOON, ready)


@pytest.mark.parametrize(
    ("seconds", "levels"), [(0, []), (119, []), (121, ["warning"]), (300, ["warning"]), (301, ["critical"])]
)
def test_wal_that_waits_is_a_warning_when_late_and_critical_beyond_the_rpo(
    seconds: int, levels: list[str]
) -> None:
    said = server(waits_since=NOON - timedelta(seconds=seconds))
    found = archiving.waiting(said, {1: Stored("000000010000000000000008")}, timedelta(seconds=300))
    assert [finding.level for finding in found] == levels


def test_reason_that_the_repository_gives_stands_beside_the_wal_that_waits() -> None:
    said = server(waits_since=NOON - timedelta(hours=2))
    (finding,) = archiving.waiting(said, {1: Stored(error="No space left on device")}, timedelta(seconds=300))
    assert "WAL is kept since 2026-01-06 10:00:00 UTC" in finding.message
    assert "repository 1: No space left on device" in finding.message


def test_what_is_older_than_the_repository_is_not_missed() -> None:
    said = Server(
        "on", "x", "000000010000000000000008", NOON, 0, 0, NOON, {}, {"000000010000000000000002": NOON}
    )
    assert archiving.believed(said, "000000010000000000000005") == ["000000010000000000000008"]


def test_files_that_are_no_segments_are_not_looked_for() -> None:
    done = {"00000002.history": NOON, "000000010000000000000002.00000028.backup": NOON}
    assert archiving.believed(Server("on", "x", "00000002.history", NOON, 0, 0, NOON, {}, done), "") == []
