"""How the servers behind HAProxy answer over some time, and whether that is worse than what others answered before."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# TIME_STATS_SAMPLES of HAProxy 2.6, include/haproxy/defaults.h.
SAMPLES = 1024
CODES = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
# Fewer say nothing: one of them that fails is 5 %.
FEWEST = 20
FEWEST_FAILED = 5
# A mean of fewer is that of the first requests, which fill caches and pools. Their times are whole milliseconds.
FEWEST_TIMED = 50
LEAST_SLOWER_MS = 100.0


@dataclass(frozen=True)
class Counters:
    """What HAProxy's worker has counted of a server since it started.

    Attributes:
        answers: requests that the server answered, or was to answer and did not.
        failed: of these, the ones with a 5xx, and the ones whose answer broke off or never came.
        mean_ms: HAProxy's mean time to the answer's first byte, in ms.
    """

    answers: int = 0
    failed: int = 0
    mean_ms: float = 0.0


@dataclass(frozen=True)
class Answers:
    """What some servers answered over some time: how many, how many of them failed, and their mean time in ms."""

    count: int
    failed: int
    mean_ms: float

    @property
    def share(self) -> float:
        """Which part of them failed, 0 to 1."""
        return self.failed / self.count if self.count else 0.0

    def __str__(self) -> str:
        failed = f"{self.failed} of them failed ({self.share:.1%})"
        return f"{self.count} answers, {failed}, {self.mean_ms:.0f} ms on average"


def parse(statistics: str) -> dict[str, Counters]:
    """Return the counters by server from the answer to `show stat`."""
    return {
        row["svname"]: Counters(
            # HAProxy counts the answers that it read; one that broke off or never came is counted beside.
            answers=sum(int(row[code] or 0) for code in CODES) + int(row["eresp"] or 0),
            failed=int(row["hrsp_5xx"] or 0) + int(row["eresp"] or 0),
            mean_ms=float(row["rtime"] or 0),
        )
        for row in csv.DictReader(statistics.lstrip("# ").splitlines())
        if row["svname"] not in ("FRONTEND", "BACKEND")
    }


def mean_between(before: Counters, after: Counters) -> float:
    """Return the mean time in ms of the answers between two looks at a server's counters.

    HAProxy keeps a sum S (`swrate_add_dynamic` in its freq_ctr.h). Up to 1,024 answers each adds its time, and the
    mean is S / n. From then on each first takes away S / 1,024. So p plain answers and then q sliding ones of the mean
    m make S' = (S + p m) d + 1,024 m (1 - d) with d = (1 - 1/1,024)^q, which is solved for m.
    """
    count = after.answers - before.answers
    if count <= 0:
        return 0.0
    plain = min(count, max(0, SAMPLES - before.answers))
    decay = (1 - 1 / SAMPLES) ** (count - plain)
    first, last = (one.mean_ms * min(one.answers, SAMPLES) for one in (before, after))
    return max(0.0, (last - first * decay) / (plain * decay + SAMPLES * (1 - decay)))


def between(before: Mapping[str, Counters], after: Mapping[str, Counters], servers: Iterable[str]) -> Answers:
    """Return what these servers answered between two looks. After a reload HAProxy counts from 0, and so do we."""
    count = failed = 0
    milliseconds = 0.0
    for name in servers:
        last = after.get(name, Counters())
        first = before.get(name, Counters())
        if first.answers > last.answers:
            first = Counters()
        answered = last.answers - first.answers
        count += answered
        failed += last.failed - first.failed
        milliseconds += answered * mean_between(first, last)
    return Answers(count, failed, milliseconds / count if count else 0.0)


def failing(new: Answers, old: Answers, more_failures: float) -> str:
    """Say that the new servers' share of failures is larger by more than `more_failures` (0 to 1); else nothing."""
    if new.count < FEWEST or new.failed < FEWEST_FAILED or new.share <= old.share + more_failures:
        return ""
    return f"It fails: {new}. Before: {old}."


def slower(new: Answers, old: Answers, times: float) -> str:
    """Say that the new servers take more than `times` as long as the old ones, and 100 ms more; else nothing."""
    if min(new.count, old.count) < FEWEST_TIMED:
        return ""
    if new.mean_ms <= max(old.mean_ms * times, old.mean_ms + LEAST_SLOWER_MS):
        return ""
    return f"It is slow: {new}. Before: {old}."


def as_counters(read: Mapping[str, Mapping[str, Any]]) -> dict[str, Counters]:
    """Return counters that went through Ansible, by server."""
    return {
        name: Counters(int(one["answers"]), int(one["failed"]), float(one["mean_ms"]))
        for name, one in read.items()
    }
