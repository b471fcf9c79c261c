"""What a power cut takes: rows are written one by one, the client notes which were acknowledged and when, and then the
host's power goes. With the disk kept, the database recovers by itself. With the disk lost there is what the repository
has, if it is elsewhere.

The host's init is killed, and the machine beneath goes on: what was written and not yet fsynced is still there. So this
tries recovery, and not the disk's word that something is written.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO

from scripts.benchmarks.backup_host import DATABASE, REPOSITORY, STANZA, WORK
from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host
from scripts.benchmarks.report import Report

# Seconds of acknowledged work that may be lost with the disk.
LIMIT = 60.0
TABLE = "public.bench_acknowledged"
# Each row in a transaction of its own; it is known to the client once its number is printed, with the WAL segment that
# was written to afterwards: its commit is in this one or in an earlier one.
WRITER = f"""
import time
import psycopg
with psycopg.connect("dbname={DATABASE}", autocommit=True) as session:
    session.execute("DROP TABLE IF EXISTS {TABLE}")
    session.execute("CREATE TABLE {TABLE} (number bigint PRIMARY KEY)")
    number = 0
    while True:
        number += 1
        session.execute("INSERT INTO {TABLE} VALUES (%s)", [number])
        print(number, session.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0], flush=True)
        time.sleep(0.02)
"""
# Prints the name of each WAL segment as it appears in the repository.
ARRIVALS = f"""
import os, re, time
seen = set()
while True:
    for where, _, names in os.walk("{REPOSITORY}/archive/{STANZA}"):
        for name in names:
            if re.fullmatch("[0-9A-F]{{24}}-[0-9a-f]+(\\\\.[a-z0-9]+)?", name) and name not in seen:
                seen.add(name)
                print(name[:24], flush=True)
    time.sleep(0.2)
"""
# A cluster restored beside everything, that archives nothing and lets nobody in by TCP.
RESTORE = f"""
cd / && rm -rf {WORK} && install -d -o postgres -g postgres -m 0700 {WORK} {WORK}/data
as_postgres="runuser -u postgres --"
$as_postgres pgbackrest --stanza={STANZA} --reset-pg1-host --pg1-path={WORK}/data --archive-mode=off \\
  --type=default --log-level-console=warn restore
echo 'local all all trust' >{WORK}/data/pg_hba.conf && : >{WORK}/data/pg_ident.conf
$as_postgres /usr/lib/postgresql/15/bin/pg_ctl -D {WORK}/data -w -t 120 -l {WORK}/log -o "-c config_file=/dev/null \\
  -c listen_addresses= -c unix_socket_directories={WORK} -c archive_mode=off -c hba_file={WORK}/data/pg_hba.conf \\
  -c ident_file={WORK}/data/pg_ident.conf -c max_connections=100" start >/dev/null || {{ cat {WORK}/log >&2; exit 1; }}
"""
STOP = f"""
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D {WORK}/data -m immediate -w stop >/dev/null; rm -rf {WORK}
"""


@dataclass(frozen=True)
class Row:
    """A row that was acknowledged: its number, when (monotonic clock, seconds), and the WAL segment in which its commit
    is at the latest.
    """

    number: int
    moment: float
    segment: str


@dataclass(frozen=True)
class Arrival:
    """A WAL segment in the repository, and when it was first seen there (monotonic clock, seconds)."""

    segment: str
    moment: float


@dataclass(frozen=True)
class Loss:
    """What was lost: of `acknowledged` rows so many, written within so many seconds before the cut."""

    acknowledged: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Cuts:
    """What the power cuts took.

    Attributes:
        one_host: with one host and its disk kept.
        kept: with a backup host, the disk of the database kept.
        gone: with a backup host, the disk of the database lost.
        longest: the most seconds of work that were in no segment of the repository, at any moment before the cut.
        arrivals: how many segments arrived before it.
    """

    one_host: Loss
    kept: Loss
    gone: Loss
    longest: float
    arrivals: int


class Lines:
    """What a Python program prints on a host, line by line, each with its moment; it ends with the block."""

    def __init__(self, host: Host, program: str, prefix: Sequence[str] = ()) -> None:
        self.found: list[tuple[float, list[str]]] = []
        words = [
            "ssh",
            "-F",
            str(host.ssh_config),
            host.name,
            shlex.join([*prefix, "python3", "-c", program]),
        ]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)

    def __enter__(self) -> Lines:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The host may be gone, and says nothing then.
        self._process.kill()
        self._process.communicate()
        self._thread.join()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self.found.append((time.monotonic(), line.split()))

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition.

        Raises:
            BenchmarkError: it does not come about, or the program has ended.
        """
        limit = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None or time.monotonic() > limit:
                self._process.kill()
                raise BenchmarkError(f"{what}: not within {seconds:.0f} s; {self._process.communicate()[1]}")
            time.sleep(0.05)


def rows_of(lines: Lines) -> list[Row]:
    """What the writer has noted so far."""
    return [Row(int(words[0]), moment, words[1]) for moment, words in lines.found if len(words) == 2]


def arrivals_of(lines: Lines) -> list[Arrival]:
    """What the watcher has noted so far."""
    return [Arrival(words[0], moment) for moment, words in lines.found]


def writer(host: Host) -> Lines:
    """The client: on the host itself, as the superuser, heard from here."""
    return Lines(host, WRITER, ("runuser", "-u", "postgres", "--"))


def one_host(host: Host, rows: int) -> Loss:
    """A power cut after so many rows; the disk is kept."""
    with writer(host) as lines:
        lines.until(lambda: len(lines.found) >= rows, 120, f"{rows} rows")
        host.testbed("power-cut")
        acknowledged = rows_of(lines)
    return after_start(host, acknowledged)


def with_backup_host(
    database: Host, keeper: Host, segments: int, cut_after: float
) -> tuple[Loss, Loss, float]:
    """A power cut when the oldest row that the repository lacks is `cut_after` seconds old, after so many segments.

    Returns:
        What is lost with the disk kept, what with the disk lost, and the longest time before (see Cuts).
    """
    with Lines(keeper, ARRIVALS) as watcher:
        watcher.until(lambda: len(watcher.found) > 0, 120, "the first segments in the repository")
        with writer(database) as lines:
            lines.until(lambda: len(lines.found) > 0, 30, "the first row")
            first = rows_of(lines)[0].segment

            def arrived() -> list[Arrival]:
                return [one for one in arrivals_of(watcher) if one.segment >= first]

            lines.until(lambda: len(arrived()) >= segments, 150 * segments, f"{segments} segments")
            lines.until(
                lambda: waiting(rows_of(lines), arrived(), time.monotonic()) >= cut_after,
                150,
                f"a row that waits for {cut_after:.0f} s",
            )
            database.testbed("power-cut")
            acknowledged = rows_of(lines)
        longest = longest_wait(acknowledged, arrived())
    keeper.run(RESTORE)
    gone = loss(acknowledged, numbers(keeper, WORK))
    keeper.run(STOP)
    return after_start(database, acknowledged), gone, longest


def waiting(rows: Sequence[Row], arrivals: Sequence[Arrival], now: float) -> float:
    """How long ago the oldest row was acknowledged that may be in no segment of the repository."""
    last = max((one.segment for one in arrivals), default="")
    return max((now - row.moment for row in rows if row.segment > last), default=0.0)


def longest_wait(rows: Sequence[Row], arrivals: Sequence[Arrival]) -> float:
    """The longest that `waiting` came to: it is just before a segment arrives."""
    return max(
        (
            waiting([row for row in rows if row.moment <= one.moment], arrivals[:number], one.moment)
            for number, one in enumerate(arrivals)
        ),
        default=float("nan"),
    )


def after_start(host: Host, acknowledged: Sequence[Row]) -> Loss:
    """Boot the host again, and see what is there."""
    host.testbed("start")
    host.run(
        "for _ in $(seq 600); do runuser -u postgres -- psql -X -q -c 'SELECT 1' >/dev/null 2>&1 && exit 0; sleep 0.1;"
        " done; journalctl --unit postgresql@15-main --lines 20 >&2; exit 1"
    )
    found = loss(acknowledged, numbers(host))
    host.run(f"runuser -u postgres -- psql -X -q -d {DATABASE} -c 'DROP TABLE {TABLE}'")
    return found


def numbers(host: Host, socket: str = "/var/run/postgresql") -> set[int]:
    """The rows that are there."""
    psql = f"psql -X -A -t -h {socket} -d {DATABASE} -c 'SELECT number FROM {TABLE}'"
    # What was restored takes sessions before it has recovered all.
    recovered = f"psql -X -A -t -h {socket} -d {DATABASE} -c 'SELECT pg_is_in_recovery()'"
    printed = host.run(
        f"cd /; as_postgres='runuser -u postgres --'; for _ in $(seq 600); do"
        f' [ "$($as_postgres {recovered} 2>&1)" = f ] && exec $as_postgres {psql}; sleep 0.1; done; exit 1'
    )
    return set(map(int, printed.split()))


def loss(acknowledged: Sequence[Row], there: set[int]) -> Loss:
    """What is gone of that which was acknowledged, and over how long it was written."""
    gone = [row.moment for row in acknowledged if row.number not in there]
    last = max(row.moment for row in acknowledged)
    return Loss(len(acknowledged), len(gone), last - min(gone) if gone else 0.0)


def judge(report: Report, found: Cuts) -> None:
    """Hold what is lost against what was promised."""
    for what, lost in (("one host", found.one_host), ("with a backup host", found.kept)):
        if lost.rows:
            report.misses.append(
                f"power cut, {what}, disk kept: {lost.rows} of {lost.acknowledged:,} acknowledged rows lost; none was"
                " to be"
            )
    report.at_most("work lost by a power cut with the disk", LIMIT, found.gone.seconds, "s")
    report.at_most("work that is in no backup host yet, at worst", LIMIT, found.longest, "s")
    report.notes += [
        f"power cut, one host: of {found.one_host.acknowledged:,} acknowledged rows {found.one_host.rows} are lost with"
        f" the disk kept, and all {found.one_host.acknowledged:,} with the disk lost: the repository is on it",
        f"power cut, with a backup host: of {found.gone.acknowledged:,} acknowledged rows {found.kept.rows} are lost"
        f" with the disk kept, {found.gone.rows:,} with the disk lost: the last {found.gone.seconds:.1f} s",
        f"at worst {found.longest:.1f} s of work were not in the repository yet, just before one of {found.arrivals}"
        " segments arrived",
    ]
