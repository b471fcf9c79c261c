"""The clone of a rehearsal: who gets in, what it leaves, and that the archive never hears of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from original import Original
from toolbox import cloning

PASSWORD = "live password"


def listing(original: Original) -> str:
    """Every file of the repository, with its checksum."""
    done = subprocess.run(
        ["sh", "-c", "find . -type f -exec sha256sum {} + | sort"],
        cwd=original.repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def ignore(_line: str) -> None:
    """What it says as it goes is not looked at."""


@pytest.fixture(scope="module")
def archived(original: Original) -> Original:
    """A database with a role that migrates, a full backup, and a row after it."""
    with original.connect("product") as session:
        session.execute(f"CREATE ROLE migrator LOGIN PASSWORD '{PASSWORD}'")
        session.execute("ALTER TABLE notes OWNER TO migrator")
    original.back_up("full")
    original.note("after the backup")
    original.archive()
    return original


@pytest.fixture(scope="module")
def clone(archived: Original) -> Iterator[dict[str, Any]]:
    """What a start says."""
    yield cloning.start(archived.known, 600, ignore)
    cloning.remove(archived.known)


def connect(clone: dict[str, Any], **more: Any) -> psycopg.Connection[Any]:
    """A session from a host with the API, as that has one with the live database."""
    words = {"user": "migrator", "password": PASSWORD, "dbname": "product", "sslmode": "require", **more}
    return psycopg.connect(host=clone["address"], port=clone["port"], autocommit=True, **words)


def test_clone_has_what_was_committed_last(clone: dict[str, Any]) -> None:
    with connect(clone) as session:
        row = session.execute("SELECT count(*) FROM notes WHERE text = 'after the backup'").fetchone()
    assert row == (1,)


@pytest.mark.parametrize(
    "other",
    [{"sslmode": "disable"}, {"user": "postgres"}, {"dbname": "postgres"}, {"password": "another"}],
    ids=["without TLS", "as the superuser", "to another database", "without the password"],
)
def test_clone_lets_nobody_in_but_its_roles_with_tls_and_their_passwords(
    clone: dict[str, Any], other: dict[str, str]
) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(clone, **other)


def test_clone_archives_nothing_whatever_is_written_to_it(archived: Original, clone: dict[str, Any]) -> None:
    before = listing(archived)
    with cloning.clone_of(archived.known).connect("product") as session:
        session.execute("INSERT INTO notes (text) SELECT 'x' FROM generate_series(1, 1000)")
        session.execute("SELECT pg_switch_wal()")
        session.execute("CHECKPOINT")
        waiting = session.execute(
            "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ 'ready$'"
        ).fetchone()
    assert waiting == (0,)
    assert listing(archived) == before


def test_what_a_killed_rehearsal_left_is_replaced_by_the_next(
    archived: Original, clone: dict[str, Any]
) -> None:
    with connect(clone) as session:
        session.execute("DELETE FROM notes")
    again = cloning.start(archived.known, 600, ignore)
    with connect(again) as session:
        row = session.execute("SELECT count(*) > 0 FROM notes").fetchone()
    assert row == (True,)


def test_nothing_is_left_of_a_clone_that_is_removed(archived: Original, clone: dict[str, Any]) -> None:
    cloning.remove(archived.known)
    assert not cloning.clone_of(archived.known).is_running()
    assert list(archived.known.clone_directory.iterdir()) == []
    with pytest.raises(psycopg.OperationalError):
        connect(clone)
