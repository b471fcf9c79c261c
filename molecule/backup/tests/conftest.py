"""Fixtures of the tests of backups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.machine import Machine
from shared.restores import Restores
from shared.sql import Endpoints, Superuser
from shared.wait import until


@pytest.fixture(scope="session")
def backups(database: Machine) -> Restores:
    """Backups and restores of the database host, with a first full backup, which the first run began."""
    found = Restores(database)
    until(
        lambda: database.sh("ls /var/lib/pgbackrest/backup/intowork/*F/backup.manifest"),
        seconds=120,
        what="the first full backup",
    )
    return found


@pytest.fixture(scope="module")
def notes(sql: Endpoints) -> Superuser:
    """A table of its own."""
    superuser = sql.superuser
    superuser("CREATE TABLE IF NOT EXISTS notes (text text)")
    return superuser


@pytest.fixture
def untouched(backups: Restores) -> Iterator[None]:
    """The repository only grows, and what was beside the live cluster is there afterwards, and no more."""
    stored, places = backups.stored(), backups.places()
    yield
    assert stored.items() <= backups.stored().items()
    assert backups.places() == places
