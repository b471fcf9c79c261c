"""One of something at a time: a lock that its holder's end releases, whatever ended it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class LockedError(Exception):
    """Somebody else holds the lock; the message says who, since when and what for."""


@contextmanager
def only_one(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock `path` while the block runs.

    Raises:
        LockedError: another process holds it.
    """
    # flock(2): the kernel lets go when the process ends, so no lock is left by one that was killed.
    with path.open("a+") as file:
        # Whoever made it: root's commands and those of the directory's owner take the same locks.
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LockedError(_told(file.read(), path)) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat()}, file)
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock `path`."""
    # By the kernel's list: to try the lock would be in the way of who begins just then.
    try:
        pid = json.loads(path.read_text())["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return re.search(rf"FLOCK +ADVISORY +WRITE +{pid} ", Path("/proc/locks").read_text()) is not None


def _told(text: str, path: Path) -> str:
    try:
        holder = json.loads(text)
        return f"{holder['purpose']} is at work, as process {holder['pid']} since {holder['since'][:19]} UTC"
    except (ValueError, KeyError, TypeError):
        # Between the lock and the note.
        return f"another process holds {path}"
