"""A backup that did not come to its end, in a repository without room: it goes, and nothing else does."""

from __future__ import annotations

import fcntl
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from original import STANZA, Original
from toolbox import unfinished

Usage = namedtuple("Usage", "total used free")
HALF = "20360106-120000F"


@pytest.fixture(scope="module")
def whole(original: Original) -> str:
    """The label of a whole backup."""
    return original.back_up("full")


@pytest.fixture
def half(whole: str, intact: Original) -> Path:
    """A backup without the manifest that pgBackRest writes at its end."""
    path = intact.repository / "backup" / STANZA / HALF
    shutil.copytree(path.with_name(whole), path)
    (path / "backup.manifest").unlink()
    return path


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system has less than a segment free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2**30, 2**30 - 4096, 4096))


def test_it_makes_room_and_whole_backups_stay(half: Path, whole: str, intact: Original, full: None) -> None:
    room = unfinished.make_room(intact.known)
    assert room is not None
    assert room.removed == [HALF]
    assert not half.exists()
    assert half.with_name(whole).is_dir()


def test_it_stays_for_the_next_one_while_there_is_room(half: Path, intact: Original) -> None:
    assert unfinished.make_room(intact.known) is None
    assert half.is_dir()


def test_it_stays_while_another_pgbackrest_may_be_making_it(half: Path, intact: Original, full: None) -> None:
    with (intact.known.lock_directory / f"{STANZA}-backup.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        room = unfinished.make_room(intact.known)
    assert room is not None
    assert room.removed == []
    assert half.is_dir()


def test_backup_that_lost_its_manifest_is_no_unfinished_one(whole: str, intact: Original, full: None) -> None:
    path = intact.repository / "backup" / STANZA / whole
    (path / "backup.manifest").unlink()
    room = unfinished.make_room(intact.known)
    assert room is not None
    assert room.removed == []
    assert path.is_dir()
