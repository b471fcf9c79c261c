"""What a backup leaves that did not come to its end: the next one goes on with it, unless WAL needs its room."""

from __future__ import annotations

import fcntl
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from toolbox import pgbackrest
from toolbox.segments import SEGMENT_BYTES
from toolbox.settings import Settings

LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")


@dataclass(frozen=True)
class Room:
    """The file system of the repository that is full: what it had free, in bytes, and the backups that made room."""

    path: Path
    free: int
    removed: list[str]


def make_room(known: Settings) -> Room | None:
    """Remove what is unfinished where the repository has no room for a segment of WAL beside it; None where it has.

    Full, a repository takes neither WAL nor what pgBackRest's own `expire` writes, and the next backup that would begin
    anew is hours away. A whole backup is never touched, nor one that another pgBackRest is making.

    Raises:
        PgbackrestError: which backups are whole cannot be read; nothing was removed.
    """
    place = known.repository_path / "backup" / known.stanza
    free = shutil.disk_usage(known.repository_path).free
    if free >= SEGMENT_BYTES:
        return None
    removed = []
    # pgBackRest's own lock, which its backup holds from its begin to its end.
    with (known.lock_directory / f"{known.stanza}-backup.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Room(known.repository_path, free, [])
        whole = {backup.label for backup in pgbackrest.info(known.stanza).backups}
        for path in sorted(place.iterdir()):
            if (
                LABEL.fullmatch(path.name)
                and path.name not in whole
                and not (path / "backup.manifest").exists()
            ):
                shutil.rmtree(path)
                removed.append(path.name)
    return Room(known.repository_path, free, removed)
