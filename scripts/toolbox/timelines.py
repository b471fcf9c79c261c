"""Timelines, and which backup leads to a target. pgBackRest itself looks at times only.

A cluster that was taken back goes on with a new timeline, which left the old one at some place in the WAL. A backup
that was made on the old timeline beyond that place is of a past that the new one does not have, however well its time
fits: PostgreSQL refuses to recover from it ("requested timeline is not a child of this server's history").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from toolbox import repository
from toolbox.pgbackrest import Backup, Stanza
from toolbox.targets import Target, lsn_bytes


class WindowError(Exception):
    """No backup leads to the target; the message has the bounds."""


@dataclass(frozen=True)
class Chain:
    """A timeline with those it comes from: `left` says where each of them was left for the next, in bytes of WAL."""

    timeline: int
    left: dict[int, int]

    def leads_from(self, backup: Backup) -> bool:
        """Whether the cluster in this backup is a past of this timeline."""
        if backup.timeline == self.timeline:
            return True
        end = self.left.get(backup.timeline)
        return end is not None and lsn_bytes(backup.lsn_last) <= end

    def at(self, lsn: int) -> int:
        """The timeline that the WAL before this place is of."""
        return min((timeline for timeline, end in self.left.items() if lsn <= end), default=self.timeline)


@dataclass(frozen=True)
class Ways:
    """The timelines of the archive, and the last WAL segment of each with when it came there, by number."""

    chains: dict[int, Chain]
    ends: dict[int, tuple[str, datetime]]


def read(stanza: Stanza) -> Ways:
    """Ask all repositories.

    Raises:
        PgbackrestError: one of them could not be read.
    """
    chains = {1: Chain(1, {})}
    ends: dict[int, tuple[str, datetime]] = {}
    for archive in stanza.archives:
        listed = repository.files(stanza.name, archive.repository, f"archive/{stanza.name}")
        wal = repository.archived(stanza.name, archive, listed)
        for timeline, switches in wal.histories.items():
            chains[timeline] = Chain(timeline, {switch.timeline: switch.lsn for switch in switches})
        for segment in sorted(wal.files):
            last = (segment.name, wal.files[segment][0].stored)
            ends[segment.timeline] = max(last, ends.get(segment.timeline, last))
    return Ways(chains, ends)


def candidates(
    backups: Sequence[Backup], chain: Chain, target: Target, place: int | None = None
) -> list[Backup]:
    """The backups from which a recovery along the chain can come to the target, the nearest first.

    `place` is the target's in the WAL, in bytes, where it is known. One that was made of damaged pages is none of them.
    """
    fit = [backup for backup in backups if chain.leads_from(backup) and not backup.failed]
    if target.kind == "time":
        fit = [backup for backup in fit if backup.stopped <= target.moment]
    if target.kind == "lsn":
        place = target.lsn
    if place is not None:
        fit = [backup for backup in fit if lsn_bytes(backup.lsn_last) <= place]
    return sorted(fit, key=lambda backup: (-lsn_bytes(backup.lsn_last), backup.repository))


@dataclass(frozen=True)
class Window:
    """From when to when a timeline can be restored. `last` is when the newest WAL came into the archive."""

    chain: Chain
    first: datetime | None
    last: datetime | None

    def check(self, target: Target, now: datetime) -> None:
        """Raise WindowError for a moment outside of it."""
        if self.first is None:
            raise WindowError(f"there is no backup that timeline {self.chain.timeline} can be restored from")
        if target.kind != "time":
            return
        if target.moment > now:
            raise WindowError(f"{target} is in the future; {self}")
        if target.moment < self.first:
            raise WindowError(f"{target} is before the end of the first backup; {self}")
        if self.last is not None and target.moment > self.last:
            raise WindowError(f"{target} is after the last WAL in the archive; {self}")

    def __str__(self) -> str:
        """For people."""
        last = shown(self.last) if self.last else "now"
        first = shown(self.first) if self.first else "nothing"
        return f"what can be restored on timeline {self.chain.timeline} is from {first} to {last}"


def window(backups: Sequence[Backup], chain: Chain, last: datetime | None) -> Window:
    """The window of a timeline; `last` is None while its cluster runs and archives."""
    stops = [backup.stopped for backup in backups if chain.leads_from(backup) and not backup.failed]
    return Window(chain, min(stops, default=None), last)


def shown(moment: datetime) -> str:
    """A moment as it can be given again, in seconds and UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}+00"
