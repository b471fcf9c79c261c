"""WAL segments by their names: timelines and what is missing between them. Nothing here asks anybody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Segments of 16 MB, as initdb makes them unless it is told otherwise, which role postgresql never does.
SEGMENT_BYTES = 16 * 1024 * 1024
PER_FILE = 0x1_0000_0000 // SEGMENT_BYTES
NAME = re.compile(r"[0-9A-F]{24}")
SWITCH = re.compile(r"(?P<timeline>\d+)\s+(?P<high>[0-9A-F]+)/(?P<low>[0-9A-F]+)\b")


@dataclass(frozen=True, order=True)
class Segment:
    """A segment: its timeline, and its place in the WAL counted in segments."""

    timeline: int
    number: int

    @classmethod
    def of(cls, name: str) -> Segment:
        """Read a name such as 00000001000000000000000A; ValueError if it is none."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a WAL segment")
        return cls(int(name[:8], 16), int(name[8:16], 16) * PER_FILE + int(name[16:], 16))

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.timeline:08X}{self.number // PER_FILE:08X}{self.number % PER_FILE:08X}"


@dataclass(frozen=True)
class Switch:
    """Where a history leaves a timeline: at an LSN, in bytes."""

    timeline: int
    lsn: int

    @property
    def number(self) -> int:
        """The first segment of the timeline that follows."""
        return self.lsn // SEGMENT_BYTES


@dataclass(frozen=True)
class Gap:
    """Segments of one timeline that are missing in a row. What it is `on` says what that costs.

    backup: a backup itself needs them. line: they are on the way from a backup to the newest WAL. seam: a timeline
    has none before its first backup. branch: they are of a timeline that was left.
    """

    first: Segment
    last: Segment
    on: str

    @property
    def count(self) -> int:
        """How many segments."""
        return self.last.number - self.first.number + 1

    def __str__(self) -> str:
        return self.first.name if self.count == 1 else f"{self.first.name} to {self.last.name}"


@dataclass(frozen=True)
class Needed:
    """What a backup needs to be restored at all: the segments that were written while it was made."""

    label: str
    first: Segment
    last: Segment


def read_history(text: str) -> list[Switch]:
    """Read a timeline's history file: the timelines before it, the oldest first."""
    return [
        Switch(int(found["timeline"]), (int(found["high"], 16) << 32) + int(found["low"], 16))
        for line in text.splitlines()
        if (found := SWITCH.match(line.strip()))
    ]


def current_timeline(
    present: Iterable[Segment], histories: Mapping[int, list[Switch]], backups: Iterable[Needed]
) -> int:
    """The timeline that the cluster is in: the highest that left a trace; 0 without any."""
    last = (segment.timeline for segment in present)
    return max([*last, *histories, *(backup.last.timeline for backup in backups)], default=0)


def beginnings(
    present: set[Segment], histories: Mapping[int, list[Switch]], backups: list[Needed]
) -> dict[int, Segment]:
    """By timeline, the first segment that a restore from one of the backups reads of it.

    A timeline that no backup is on and no backup leads to has none: nothing reads its WAL.
    """
    found: dict[int, Segment] = {}
    timelines = {segment.timeline for segment in present} | set(histories)
    for timeline in sorted(timelines | {backup.first.timeline for backup in backups}):
        own = [backup.first.number for backup in backups if backup.first.timeline == timeline]
        before = histories.get(timeline, [])
        reached = any(
            backup.last.timeline == switch.timeline and backup.last.number <= switch.number
            for switch in before
            for backup in backups
        )
        if reached:
            own.append(before[-1].number)
        if own:
            found[timeline] = Segment(timeline, min(own))
    return found


def gaps(present: set[Segment], histories: Mapping[int, list[Switch]], backups: list[Needed]) -> list[Gap]:
    """What is missing of the WAL from the first segment of the oldest backup to the newest one, on all timelines."""
    current = current_timeline(present, histories, backups)
    # Of the timelines before the current one, the last segment that leads to it.
    line = {switch.timeline: switch.number - 1 for switch in histories.get(current, [])}
    newest = {segment.timeline: segment.number for segment in sorted(present)}
    of_backups = {
        Segment(backup.first.timeline, number)
        for backup in backups
        for number in range(backup.first.number, backup.last.number + 1)
    }
    found: list[Gap] = []
    for timeline, first in beginnings(present, histories, backups).items():
        own = {segment for segment in of_backups if segment.timeline == timeline}
        last = max(newest.get(timeline, 0), line.get(timeline, 0))
        wanted = own | {Segment(timeline, number) for number in range(first.number, last + 1)}
        # Where the WAL of a timeline that follows another begins.
        begins = min(wanted & present, default=None) if timeline in histories else None
        missing: list[tuple[Segment, str]] = []
        for segment in sorted(wanted - present):
            if segment in own:
                on = "backup"
            elif timeline != current and segment.number > line.get(timeline, -1):
                on = "branch"
            elif own and begins and segment < min(begins, min(own)):
                on = "seam"
            else:
                on = "line"
            missing.append((segment, on))
        found += _in_a_row(missing)
    return found


def _in_a_row(missing: list[tuple[Segment, str]]) -> list[Gap]:
    rows: list[Gap] = []
    for segment, on in missing:
        last = rows[-1] if rows else None
        if last and last.on == on and last.last.number + 1 == segment.number:
            rows[-1] = Gap(last.first, segment, on)
        else:
            rows.append(Gap(segment, segment, on))
    return rows
