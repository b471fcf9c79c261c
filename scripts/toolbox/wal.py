"""What archived WAL says: which transactions ended when, and how far their numbers were."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolbox import pgbackrest
from toolbox.settings import Settings

TRANSACTION = re.compile(
    r"rmgr: Transaction .*? tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+), .*?"
    r"desc: (?P<what>COMMIT|ABORT)\S* (?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \w+)"
)
CHECKPOINT = re.compile(r"CHECKPOINT_(?:ONLINE|SHUTDOWN) .*?; xid \d+:(\d+);")


class WalError(Exception):
    """A segment could not be fetched or read; the message says why."""


@dataclass(frozen=True)
class Ended:
    """A transaction's end, as its record in the WAL has it."""

    xid: int
    lsn: str
    what: str
    time: str


@contextmanager
def fetched(known: Settings, segments: Sequence[str], data: Path) -> Iterator[list[Path]]:
    """Fetch those of the segments that the archive has, for as long as the block runs.

    `data` is a data directory of this cluster, by whose identity pgBackRest finds them.
    """
    place = Path(tempfile.mkdtemp(prefix="wal-", dir=known.state_directory))
    try:
        shutil.chown(place, pgbackrest.USER)
        found = []
        for segment in segments:
            words = [
                *pgbackrest.of_directory(data),
                "--no-archive-async",
                "--log-level-console=error",
                "archive-get",
            ]
            command = pgbackrest.command(known.stanza, *words, segment, str(place / segment))
            done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
            # pgBackRest's own words: 1 is "not found".
            if done.returncode == 0:
                found.append(place / segment)
            elif done.returncode != 1:
                raise WalError(pgbackrest.errors(done.stdout + done.stderr) or f"status {done.returncode}")
        yield found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def ended(known: Settings, segment: Path) -> list[Ended]:
    """The transactions that ended in a segment, in order."""
    return [
        Ended(int(found["xid"]), found["lsn"], found["what"].lower(), found["time"])
        for found in TRANSACTION.finditer(_dump(known, segment, "Transaction"))
    ]


def next_xid(known: Settings, segment: Path) -> int | None:
    """The number that the next transaction would have got at the first checkpoint of a segment."""
    found = CHECKPOINT.search(_dump(known, segment, "XLOG"))
    return int(found[1]) if found else None


def _dump(known: Settings, segment: Path, manager: str) -> str:
    command = [f"{known.bin_directory}/pg_waldump", f"--rmgr={manager}", str(segment)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    # It ends with 1 where a segment was switched before it was full; what is there was printed.
    return done.stdout
