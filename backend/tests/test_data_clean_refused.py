"""`check-data --clean` changes nothing when it is told the wrong way, or cannot do all of it."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from app.data_check.clean import clean
from harness.checksums import checksums, columns
from harness.cleaning import apply_twice, statuses
from harness.cluster import Database
from harness.commands import command
from harness.migrations import parent_of, upgrade
from harness.rows import Rows
from harness.wait import until

BEFORE = parent_of("h8c2d6e5f4g3")


@pytest.fixture
def before(empty_database: Database) -> Database:
    """A database before the unique rules, with its foreign keys."""
    upgrade(empty_database, BEFORE)
    return empty_database


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Where what is changed is written to."""
    return tmp_path / "saved.json"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--yes", "--saved-to", "{}/new"), "--yes goes with --clean"),
        (("--clean", "--yes"), "--yes needs --saved-to FILE"),
        (("--clean", "--saved-to", "{}/new"), "--saved-to goes with --clean --yes"),
        (("--clean", "--yes", "--saved-to", "{}/there"), "is there already"),
        (("--clean", "--yes", "--saved-to", "{}/no/such/directory"), "No such file or directory"),
    ],
)
def test_nothing_is_changed_when_it_is_told_the_wrong_way(
    before: Database, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "there").write_text("of somebody else")
    with before.connect("app") as connection:
        apply_twice(Rows(connection), {}, {})
    rows = checksums(before, columns(before))
    done = command(before, "check-data", *(word.format(tmp_path) for word in words))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert checksums(before, columns(before)) == rows
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("there", "of somebody else")]


def test_row_that_somebody_changes_meanwhile_ends_it_with_nothing_changed(
    before: Database, saved: Path
) -> None:
    with before.connect("app") as connection:
        first, _second = apply_twice(Rows(connection), {}, {})
    errors: list[Exception] = []

    def work() -> None:
        try:
            with before.connect("app") as connection:
                connection.autocommit = False
                clean(connection, saved)
        except psycopg.Error as error:
            errors.append(error)

    cleaning = threading.Thread(target=work)
    with before.connect("app") as somebody, somebody.transaction():
        somebody.execute("UPDATE job_applications SET status = 'viewed' WHERE id = %s", (first,))
        cleaning.start()
        until(
            lambda: before.rows(
                "SELECT FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", before.name
            ),
            "the cleaning waits for the row",
        )
    cleaning.join()
    assert [type(error) for error in errors] == [psycopg.errors.SerializationFailure]
    assert sorted(statuses(before).values()) == ["applied", "viewed"]
    assert not saved.exists()
