"""A restore up to the decision, of a cluster that was taken back once already, and so has two timelines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from original import STANZA, Original
from toolbox import journal, pgbackrest, restoring
from toolbox.cluster import Clone, NotReachedError
from toolbox.exchange import Exchange
from toolbox.live import Live
from toolbox.output import Report
from toolbox.restoring import Place, RestoreError
from toolbox.targets import Target, parse


@dataclass
class Past:
    """What was done, in this order; the cluster was taken back to `before_fork` after `of_abandoned`."""

    first: str
    before_fork: datetime
    of_abandoned: str
    after_fork: datetime
    noted: int


def ignore(_line: str) -> None:
    """What is told on the way is not looked at."""


def restored(place: Place, target: Target, chosen: str = "") -> Report:
    """Prepare a restore."""
    return restoring.prepare(place, restoring.plan(place, target, chosen), ignore)[1]


@pytest.fixture(scope="module")
def place(original: Original) -> Place:
    """Where restores of it go."""
    return Place(original.known, Live(original.known, original.home / "socket"))


@pytest.fixture(scope="module")
def past(original: Original, place: Place) -> Past:
    """Timeline 1 with a full backup and, after the fork, an incremental one; timeline 2 without any yet."""
    first = original.back_up("full")
    original.note("before the fork")
    original.archive()
    before_fork = original.moment()
    original.note("of the past that is given up")
    of_abandoned = original.back_up("incr")
    note, _ = restoring.prepare(place, restoring.plan(place, at(before_fork)), ignore)
    place.clone().stop()
    original.stop()
    Exchange(note.directory, note.live, note.kept, had_live=True).go_on()
    journal.forget(place.state)
    original.start()
    restoring.make_point(place, "before the new row")
    noted = original.note("of the new timeline")
    after_fork = original.moment()
    original.note("after the moment")
    original.archive()
    return Past(first, before_fork, of_abandoned, after_fork, noted)


@pytest.fixture(autouse=True)
def clean(original: Original, place: Place) -> Iterator[None]:
    """Nothing of one restore is there in the next test."""
    yield
    place.clone().remove()
    journal.forget(original.known.state_directory)


def at(moment: datetime) -> Target:
    """A moment as a target."""
    return parse("time", moment.isoformat())


def notes(clone: Clone) -> list[str]:
    """The rows of the table, but for those that `archive` writes."""
    with clone.connect("product") as session:
        found = [row[0] for row in session.execute("SELECT text FROM notes ORDER BY id")]
    return [text for text in found if text != "the last of its segment"]


def test_moment_on_the_new_timeline_is_reached_from_the_backup_before_the_fork(
    place: Place, past: Past
) -> None:
    report = restored(place, at(past.after_fork))
    assert report.facts["backup"] == past.first
    assert notes(place.clone()) == ["before the fork", "of the new timeline"]


def test_backup_that_pgbackrest_would_take_leads_nowhere(
    original: Original, place: Place, past: Past
) -> None:
    # The reason for choosing it ourselves: pgBackRest goes by time, and PostgreSQL refuses what it takes.
    place.directory.mkdir()
    subprocess.run(["chown", "postgres:", str(place.directory)], check=True)
    moment = past.after_fork.isoformat(sep=" ")
    words = ("--type=time", f"--target={moment}", "--target-timeline=2", f"--pg1-path={place.directory}")
    said = pgbackrest.ask(STANZA, *words, "restore")
    assert f"restore backup set {past.of_abandoned}" in said
    clone = place.clone()
    clone.private.mkdir()
    subprocess.run(["chown", "postgres:", str(clone.private)], check=True)
    clone.start(at(past.after_fork), timeline=2)
    with pytest.raises(
        NotReachedError, match=r"not a child of this server's history|required checkpoint record"
    ):
        clone.arrive(at(past.after_fork))


def test_backup_of_the_past_that_was_given_up_is_refused_by_name(place: Place, past: Past) -> None:
    with pytest.raises(RestoreError, match="was made on timeline 1 after timeline 2 had left it"):
        restoring.plan(place, at(past.after_fork), past.of_abandoned)


def test_past_that_was_given_up_can_be_restored_by_its_timeline(place: Place, past: Past) -> None:
    restored(place, parse("time", "latest", timeline=1))
    assert notes(place.clone()) == ["before the fork", "of the past that is given up"]


def test_end_of_the_archive_has_what_was_committed_last(original: Original, place: Place, past: Past) -> None:
    original.note("a moment ago")
    restored(place, parse("time", "latest"))
    assert notes(place.clone())[-1] == "a moment ago"


def test_restore_point_is_found_by_its_name(place: Place, past: Past) -> None:
    restored(place, parse("name", "before the new row"))
    assert notes(place.clone()) == ["before the fork"]


def test_transaction_is_found_without_naming_a_backup(place: Place, past: Past) -> None:
    restored(place, parse("xid", str(past.noted)))
    assert notes(place.clone()) == ["before the fork", "of the new timeline"]


def test_table_is_readable_that_a_transaction_was_about_to_drop(
    original: Original, place: Place, past: Past
) -> None:
    # Its lock is in the WAL before the target, its commit behind it.
    with original.connect("product") as session:
        session.execute("CREATE TABLE dropped AS SELECT 1 AS one")
        session.execute("BEGIN")
        session.execute("DROP TABLE dropped")
        moment = original.moment()
        original.note("while it was under way")
        session.execute("COMMIT")
    report = restored(place, at(moment))
    row = next(row for row in report.tables[0].rows if row[0] == "public.dropped")
    assert row == ("public.dropped", 1, None, "comes back")


def test_report_has_the_transactions_on_both_sides_of_the_target(place: Place, past: Past) -> None:
    report = restored(place, at(past.after_fork))
    sides = {str(row[1]): row[3] for row in report.tables[1].rows}
    assert sides[str(past.noted)] == "there"
    assert sides[str(past.noted + 1)] == "left out"


def test_discarded_it_leaves_nothing(place: Place, past: Past) -> None:
    note, _ = restoring.prepare(place, restoring.plan(place, at(past.after_fork)), ignore)
    restoring.discard(place, note)
    assert not place.directory.exists()
    assert not place.clone().private.exists()
    assert journal.read(place.state) is None


@pytest.mark.parametrize("phase", ["switching", "switched"])
def test_what_is_being_switched_is_not_discarded(place: Place, past: Past, phase: str) -> None:
    note, _ = restoring.prepare(place, restoring.plan(place, at(past.after_fork)), ignore)
    note.write(place.state, phase)
    with pytest.raises(RestoreError, match="finished by bundle-restore switch"):
        restoring.discard(place, note)
    assert place.directory.is_dir()


def test_it_can_be_looked_at_again_after_its_server_was_killed(place: Place, past: Past) -> None:
    restored(place, at(past.after_fork))
    place.clone().kill()
    restoring.take_up(place, ignore)
    assert notes(place.clone()) == ["before the fork", "of the new timeline"]


def test_who_looks_at_it_does_not_change_it_by_mistake(place: Place, past: Past) -> None:
    restored(place, at(past.after_fork))
    with place.clone().connect() as session:
        assert session.execute("SHOW default_transaction_read_only").fetchone() == ("on",)


REFUSED = [
    (
        parse("time", (datetime.now(UTC) + timedelta(days=1)).isoformat()),
        "is in the future; what can be restored on",
    ),
    (
        parse("time", "2026-01-06 12:00:00+00"),
        "is before the end of the first backup; what can be restored on timelin",
    ),
    (parse("time", "latest", timeline=7), "timeline 7 is not in the archive; there are: 1, 2"),
    (
        parse("name", "unheard of"),
        r"'unheard of' was not made .* the newest that were: before the new row \(",
    ),
    (parse("xid", "4000000"), "transaction 4000000 has not been yet: the next one gets"),
    (parse("lsn", "0/1000"), "no backup on timeline 2 is old enough for the place 0/1000"),
]


@pytest.mark.parametrize(("target", "said"), REFUSED, ids=[f"{target.kind}" for target, _ in REFUSED])
def test_target_that_cannot_be_reached_is_refused_before_anything_is_made(
    place: Place, past: Past, target: Target, said: str
) -> None:
    with pytest.raises(RestoreError, match=said):
        restoring.plan(place, target)
    assert not place.directory.exists()


def test_directory_that_no_restore_made_is_refused_and_not_touched(place: Place, past: Past) -> None:
    place.directory.mkdir()
    (place.directory / "precious").touch()
    with pytest.raises(RestoreError, match="no restore that is under way has made it"):
        restoring.plan(place, at(past.after_fork))
    assert [path.name for path in place.directory.iterdir()] == ["precious"]


def test_wrong_passphrase_is_said_to_be_one(
    place: Place, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGBACKREST_REPO1_CIPHER_PASS", "wrong")
    with pytest.raises(RestoreError, match="cannot be read with this passphrase"):
        restoring.plan(place, at(past.after_fork))


def test_all_problems_come_in_one_list(place: Place, past: Past) -> None:
    place.directory.mkdir()
    with pytest.raises(RestoreError) as refused:
        restoring.plan(place, parse("time", "2026-01-06 12:00:00+00"), "no such backup")
    assert [line.split()[0] for line in str(refused.value).splitlines()] == [
        "2026-01-06",
        "backup",
        str(place.directory),
    ]
