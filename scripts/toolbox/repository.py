"""What the files of a repository are: listed and read by pgBackRest, wherever and however encrypted they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from toolbox import pgbackrest, segments

# SEGMENT-SHA1 with the suffix of its compression, in a directory by the first 16 digits of its name.
STORED = re.compile(r"(?:.*/)?(?P<segment>[0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?")
HISTORY = re.compile(r"(?P<archive>[^/]+)/(?P<timeline>[0-9A-F]{8})\.history")
# A repository that is away must not keep those who look from saying so.
LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class File:
    """A file of a repository; its path from where it was listed, its size in bytes, when it was stored."""

    path: str
    bytes: int
    stored: datetime


@dataclass(frozen=True)
class Wal:
    """The WAL of one archive: the files by segment (two of one segment are an error), and the histories."""

    files: dict[segments.Segment, list[File]]
    histories: dict[int, list[segments.Switch]]

    @property
    def newest(self) -> tuple[segments.Segment, File] | None:
        """The last segment of the timeline that the cluster is in."""
        last = max(self.files, default=None)
        return (last, self.files[last][0]) if last else None


def files(stanza: str, repository: int, path: str) -> list[File]:
    """All files below a path of a repository, such as archive/STANZA.

    Raises:
        PgbackrestError: it cannot be listed.
    """
    words = (f"--repo={repository}", "--recurse", "repo-ls", path)
    listed = pgbackrest.answer(stanza, *words, seconds=LOOK_SECONDS)
    return [
        File(name, entry["size"], datetime.fromtimestamp(entry["time"], UTC))
        for name, entry in listed.items()
        if entry["type"] == "file"
    ]


def text(stanza: str, repository: int, path: str) -> str:
    """The content of a small text file of a repository."""
    words = ("--log-level-console=error", "repo-get", path)
    return pgbackrest.ask(stanza, f"--repo={repository}", *words, seconds=LOOK_SECONDS)


def archived(stanza: str, archive: pgbackrest.Archive, listed: list[File]) -> Wal:
    """The WAL of one archive, of what was listed of archive/STANZA."""
    by_segment: dict[segments.Segment, list[File]] = {}
    histories: dict[int, list[segments.Switch]] = {}
    for file in listed:
        if not file.path.startswith(f"{archive.identity}/"):
            continue
        if found := STORED.fullmatch(file.path):
            by_segment.setdefault(segments.Segment.of(found["segment"]), []).append(file)
        elif found := HISTORY.fullmatch(file.path):
            content = text(stanza, archive.repository, f"archive/{stanza}/{file.path}")
            histories[int(found["timeline"], 16)] = segments.read_history(content)
    return Wal(by_segment, histories)


@dataclass(frozen=True)
class Snapshot:
    """What the repositories have at one moment; the files by the key of the repository."""

    stanza: pgbackrest.Stanza
    archive: dict[int, list[File]]
    backup: dict[int, list[File]]


def snapshot(stanza: str) -> Snapshot:
    """List all repositories, again if a backup came or went meanwhile: what is listed then fits together."""
    before = pgbackrest.info(stanza)
    while True:
        keys = [one.key for one in before.repositories]
        archive = {key: files(stanza, key, f"archive/{stanza}") for key in keys}
        backup = {key: files(stanza, key, f"backup/{stanza}") for key in keys}
        after = pgbackrest.info(stanza)
        if after.backups == before.backups:
            return Snapshot(after, archive, backup)
        before = after
