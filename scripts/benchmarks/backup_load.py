"""What a backup costs those who work meanwhile: pgbench's TPC-B-like load with a full backup under way and without."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks import pgbench_log
from scripts.benchmarks.backup_host import DatabaseHost
from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.report import Report, compare

LOADED = "bench_load"
PLACE = "/var/tmp/bench-load"  # noqa: S108  a directory of root's host
BIN = "/usr/lib/postgresql/15/bin"
# Transactions a second that are left.
LIMIT = 0.5
# A backup has to be under way for at least this share of a load.
SHARE = 0.5


@dataclass(frozen=True)
class Load:
    """What came of a load: transactions a second, milliseconds of one, on average and the 95th percentile, and the
    seconds of the backup that was under way (0 without one).
    """

    tps: float
    mean: float
    p95: float
    backup: float


@dataclass(frozen=True)
class Rounds:
    """The loads of each round, without a backup and with one."""

    without: list[Load]
    during: list[Load]


def measure(database: DatabaseHost, rounds: int, seconds: int, scale: int, clients: int) -> Rounds:
    """Load the cluster `rounds` times in both ways; who begins changes from round to round."""
    found = Rounds([], [])
    host = database.host
    host.run(f"install -d -o postgres -g postgres -m 0755 {PLACE}")
    host.put(Path(pgbench_log.__file__), f"{PLACE}/pgbench_log.py")
    database.sql(f"CREATE DATABASE {LOADED}", "postgres")
    with database.unarchived():
        host.run(f"cd / && runuser -u postgres -- {BIN}/pgbench -i -q -s {scale} {LOADED}")
    pgbench = f"{BIN}/pgbench -n -M prepared -b tpcb-like -c {clients} -j 2 -T {{seconds}} {LOADED}"
    host.run(f"cd / && runuser -u postgres -- {pgbench.format(seconds=max(seconds // 4, 1))}")
    for number in range(rounds):
        for busy in (False, True) if number % 2 == 0 else (True, False):
            script = loaded(pgbench.format(seconds=seconds), busy=busy)
            if busy:
                database.back_up(script)
                found.during.append(outcome(database, seconds))
            else:
                database.sql("CHECKPOINT")
                database.seconds(script)
                found.without.append(outcome(database, seconds))
        one, other = found.without[-1], found.during[-1]
        print(
            f"round {number + 1}/{rounds}: {one.tps:,.0f} tps, p95 {one.p95:.1f} ms; with a backup"
            f" {other.tps:,.0f} tps, p95 {other.p95:.1f} ms",
            flush=True,
        )
    database.sql(f"DROP DATABASE {LOADED}", "postgres")
    host.run(f"rm -r {PLACE}")
    return found


def loaded(pgbench: str, *, busy: bool) -> str:
    """The script of one load, which leaves a line for each transaction; with `busy` a backup begins together with it.

    A backup begins with a checkpoint. Without one the load comes after a checkpoint too: pages go into the WAL whole
    after it, and that is no difference between the two.
    """
    words = ["runuser", "-u", "postgres", "--", *pgbench.split(), "--log", f"--log-prefix={PLACE}/log"]
    load = f"{shlex.join(words)} >/dev/null 2>{PLACE}/said || {{ cat {PLACE}/said >&2; exit 1; }}"
    begin = f"rm -f {PLACE}/log.* {PLACE}/ended; echo $EPOCHREALTIME >{PLACE}/began"
    if not busy:
        return f"{begin}\n{load}"
    backup = f"( systemctl start backup@full && echo $EPOCHREALTIME >{PLACE}/ended ) & backup=$!"
    return f"{begin}\n{backup}\n{load}\nwait $backup"


def outcome(database: DatabaseHost, seconds: int) -> Load:
    """Read the lines of a load of so many seconds; of one with a backup only those until the backup ended."""
    return load_of(json.loads(database.host.run(f"python3 {PLACE}/pgbench_log.py {PLACE}")), seconds)


def load_of(found: dict[str, float], seconds: int) -> Load:
    """The load that was summed up in `found` (see pgbench_log.summary).

    Raises:
        BenchmarkError: if the backup was under way for too little of it.
    """
    if found["seconds"] < SHARE * seconds:
        raise BenchmarkError(
            f"the backup ended after {found['seconds']:.1f} s of a load of {seconds}: --load-seconds has to be less, or"
            " the largest of --sizes more"
        )
    return Load(found["transactions"] / found["seconds"], found["mean"], found["p95"], found["under_way"])


def judge(report: Report, found: Rounds, size: str) -> None:
    """Put the ratios into the report and hold them against the limit."""

    def row(what: str, name: str, unit: str) -> float:
        without = [getattr(load, name) for load in found.without]
        report.rows.append(compare(what, without, [getattr(load, name) for load in found.during], unit))
        return report.rows[-1].ratio

    left = row(f"pgbench tpcb-like during a backup of {size}", "tps", "tps")
    row("  mean latency", "mean", "ms")
    row("  p95 latency", "p95", "ms")
    report.at_least("transactions a second that a backup leaves", LIMIT, left, "of those without")
    took = ", ".join(f"{load.backup:.0f}" for load in found.during)
    report.notes.append(f"the backups under that load took {took} s")
