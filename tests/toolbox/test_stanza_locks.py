"""A stanza is made and compared while something is at work in it: WAL that is archived, or a backup of hours."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import backup_stanza
import pytest
from original import STANZA, Original
from toolbox import pgbackrest


@contextmanager
def at_work(original: Original, kind: str) -> Iterator[None]:
    """Hold the stanza's lock of a kind, as pgBackRest's own processes do."""
    path = original.home / "lock" / f"{STANZA}-{kind}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        path.chmod(0o666)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("kind", ["archive", "backup"])
def test_a_stanza_that_is_there_is_not_waited_for_while_something_is_at_work(
    original: Original, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(backup_stanza, "LOOK_SECONDS", 0)
    with at_work(original, kind):
        backup_stanza.make_or_compare(pgbackrest.USER, STANZA, must_make=False)


def test_a_stanza_that_has_to_be_made_waits_until_nothing_is_at_work(original: Original) -> None:
    held, release = threading.Event(), threading.Event()

    def work() -> None:
        with at_work(original, "archive"):
            held.set()
            release.wait(30)

    worker = threading.Thread(target=work)
    worker.start()
    assert held.wait(10)
    with pytest.raises(backup_stanza.LockedError):
        backup_stanza.pgbackrest(pgbackrest.USER, STANZA, "stanza-create")
    threading.Timer(1, release.set).start()
    backup_stanza.make_or_compare(pgbackrest.USER, STANZA, must_make=True)
    assert release.is_set()
    worker.join()
