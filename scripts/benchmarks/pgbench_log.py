"""What pgbench's log of transactions comes to: pgbench_log.py DIRECTORY prints it as JSON.

The directory has the logs (log.*, a line for each transaction) and the moments at which the load began and, where
something was under way meanwhile, that ended (`began`, `ended`, seconds since the epoch).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path


def transactions(lines: Iterable[str]) -> list[tuple[float, float]]:
    """When each transaction ended (seconds since the epoch), and its milliseconds.

    A line has client, number, microseconds, script, and the end in seconds and microseconds.
    """
    found = []
    for line in lines:
        words = line.split()
        found.append((int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1e3))
    return found


def summary(found: list[tuple[float, float]], began: float, ended: float | None) -> dict[str, float]:
    """Transactions, seconds, and milliseconds of one, from the beginning to the end of what was under way.

    `under_way` are the seconds of that, of which the load may have been a part; 0 where nothing was.
    """
    until = max((moment for moment, _ in found), default=began)
    until = until if ended is None else min(until, ended)
    inside = sorted(taken for moment, taken in found if moment <= until) or [0.0]
    return {
        "transactions": len(inside),
        "seconds": until - began,
        "under_way": 0.0 if ended is None else ended - began,
        "mean": sum(inside) / len(inside),
        "p95": inside[min(int(len(inside) * 0.95), len(inside) - 1)],
    }


def main(directory: Path) -> None:
    """Print the summary."""
    found = [one for path in directory.glob("log.*") for one in transactions(path.read_text().splitlines())]
    ended = directory / "ended"
    print(
        json.dumps(
            summary(
                found,
                float((directory / "began").read_text()),
                float(ended.read_text()) if ended.exists() else None,
            )
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
