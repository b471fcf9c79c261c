"""Where a recovery ends: a moment, a restore point, a transaction, a place in the WAL, or the end of the archive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

KINDS = ("time", "name", "xid", "lsn", "latest")
LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
# NAMEDATALEN of PostgreSQL, without its last byte.
LONGEST_NAME = 63
LARGEST_XID = 2**32 - 1


class TargetError(ValueError):
    """What was given is no target; the message says what is one."""


@dataclass(frozen=True)
class Target:
    """Where a recovery ends. `value` is as PostgreSQL takes it, `timeline` 0 for the one that the live cluster is on.

    `exclusive` leaves out what the target itself names: the commit at that moment, or that transaction.
    """

    kind: str
    value: str = ""
    timeline: int = 0
    exclusive: bool = False

    @property
    def moment(self) -> datetime:
        """The moment of a target of the kind time."""
        return datetime.fromisoformat(self.value)

    @property
    def lsn(self) -> int:
        """The place of a target of the kind lsn, in bytes."""
        return lsn_bytes(self.value)

    def __str__(self) -> str:
        """For people."""
        before = "just before " if self.exclusive else ""
        words = {
            "time": f"{before}{self.value}",
            "name": f"the restore point {self.value!r}",
            "xid": f"{before}transaction {self.value}",
            "lsn": f"{before}the place {self.value} in the WAL",
            "latest": "the end of the archive",
        }
        return words[self.kind] + (f" on timeline {self.timeline}" if self.timeline else "")

    def settings(self) -> dict[str, str]:
        """PostgreSQL's settings for it; none for the end of the archive, where a standby waits for more."""
        if self.kind == "latest":
            return {}
        return {
            f"recovery_target_{self.kind}": self.value,
            "recovery_target_inclusive": "off" if self.exclusive else "on",
            "recovery_target_action": "pause",
        }


def parse(kind: str, given: str, *, timeline: int = 0, exclusive: bool = False) -> Target:
    """Make a target of what a person gave.

    Raises:
        TargetError: with the value and what is allowed.
    """
    given = given.strip()
    if kind == "time" and given == "latest":
        kind = "latest"
    if exclusive and kind in {"latest", "name"}:
        raise TargetError(
            f"{kind}: there is nothing to leave out; only a moment, a transaction or an LSN has an edge"
        )
    if kind == "time":
        given = _moment(given).isoformat(sep=" ")
    elif kind == "xid" and not (given.isdecimal() and 3 <= int(given) <= LARGEST_XID):
        raise TargetError(
            f"transaction {given!r} is none: a whole number from 3 to {LARGEST_XID}, as xmin of a row or %x in a log"
        )
    elif kind == "lsn" and not LSN.fullmatch(given):
        raise TargetError(f"LSN {given!r} is none: two hexadecimal numbers such as 0/5000098")
    elif kind == "name" and not 0 < len(given.encode()) <= LONGEST_NAME:
        raise TargetError(f"restore point {given!r} is none: a name of 1 to {LONGEST_NAME} bytes")
    elif kind not in KINDS:
        raise TargetError(f"target {kind!r} is none of {', '.join(KINDS)}")
    return Target(kind, "" if kind == "latest" else given, timeline, exclusive)


def _moment(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise TargetError(
            f"moment {given!r} is none: write date, time and zone, such as '2026-01-06 12:00:00+00', or latest"
        ) from None
    if moment.tzinfo is None:
        raise TargetError(f"moment {given!r} has no zone: write it, such as '{given}+00' for UTC")
    return moment.astimezone(UTC)


def lsn_bytes(lsn: str) -> int:
    """An LSN as PostgreSQL writes it, in bytes from the beginning of the WAL."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
