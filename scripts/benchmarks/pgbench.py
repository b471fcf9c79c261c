"""pgbench: PostgreSQL with the settings of the tuning filter, against PostgreSQL as Debian ships it."""

from __future__ import annotations

import argparse
import os
import re
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.benchmarks.cluster import BIN, BenchmarkError, Cluster, run, workspace
from scripts.benchmarks.contenders import OURS, STOCK, contenders, memory_mb
from scripts.benchmarks.processor import usage, wait_for_quiet
from scripts.benchmarks.report import Report, compare

SUMMARY = "PostgreSQL with our settings against stock: pgbench's three loads, interleaved rounds"
LOADS = {
    "select-only": ["-S"],
    "simple-update": ["-N"],
    "tpcb-like": ["-b", "tpcb-like"],
}
# With --quiet: how often a round is tried, and how long it waits for the machine each time.
ATTEMPTS = 10
QUIET_SECONDS = 600.0


@dataclass(frozen=True)
class Result:
    """One measurement.

    Attributes:
        tps: transactions per second.
        per_cpu_second: transactions per CPU second of the server's processes.
        wal_bytes: bytes of write-ahead log for each transaction.
        others: share of the machine's CPU time that other programs took meanwhile, 0 to 1.
    """

    tps: float
    per_cpu_second: float
    wal_bytes: float
    others: float

    def __str__(self) -> str:
        return (
            f"{self.tps:8,.0f} tps {self.per_cpu_second:8,.0f} tx/CPU s {self.wal_bytes:6,.0f} B WAL/tx, "
            f"others {self.others:4.0%}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every load (default 5)")
    parser.add_argument("--seconds", type=int, default=20, help="seconds of each measurement (default 20)")
    parser.add_argument(
        "--warm-up", type=int, default=5, help="seconds of the same load before each (default 5)"
    )
    parser.add_argument("--scale", type=int, default=50, help="pgbench's scale; 50 is 750 MB (default 50)")
    parser.add_argument("--clients", type=int, default=16, help="connections at once (default 16)")
    parser.add_argument(
        "--load", action="append", choices=sorted(LOADS), help="only this load; may be repeated"
    )
    parser.add_argument(
        "--memory", type=int, default=memory_mb(), help="memory to tune for, MB (default: this machine's)"
    )
    parser.add_argument(
        "--cpus", type=int, default=len(os.sched_getaffinity(0)), help="CPUs to tune for (default: all)"
    )
    parser.add_argument("--storage", default="ssd", help="ssd, hdd or san (default ssd)")
    parser.add_argument("--workload", default="web", help="web, oltp, mixed or warehouse (default web)")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME:SETTING=VALUE[,…]",
        help="also measure our settings with these changes; may be repeated",
    )
    parser.add_argument(
        "--quiet",
        type=float,
        metavar="PERCENT",
        help="measure only while other programs take less than this of the CPUs, else again",
    )
    parser.add_argument("--recovery", action="store_true", help="also crash each and time its recovery")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108 - on disk, unlike /tmp on many machines; mkdtemp makes it safe
        help="where, on disk (default /var/tmp)",
    )


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if a program of PostgreSQL's fails, or an option is wrong.
    """
    sides = contenders(options)
    loads = options.load or list(LOADS)
    measured: dict[str, dict[str, list[Result]]] = {load: {name: [] for name in sides} for load in loads}
    report = Report("pgbench", STOCK)
    with workspace(options.directory) as base:
        clusters = build(base, sides, options)
        for number in range(options.rounds):
            # Every second round runs backwards: whoever goes first meets the same machine as often as
            # whoever is last.
            order = list(clusters) if number % 2 == 0 else list(reversed(clusters))
            for load in loads:
                for name, result in one_round(
                    {side: clusters[side] for side in order}, load, number, options
                ):
                    measured[load][name].append(result)
                    print(f"round {number + 1}/{options.rounds}  {load:14} {name:14} {result}", flush=True)
        if options.recovery:
            report.details["recovery"] = {
                name: recovery(cluster, options) for name, cluster in clusters.items()
            }
    for load, results in measured.items():
        for name in list(sides)[1:]:
            what = load if name == OURS else f"{load}: {name}"
            stock, other = results[STOCK], results[name]
            report.rows.append(compare(what, [r.tps for r in stock], [r.tps for r in other], "tps"))
            report.rows.append(
                compare(
                    "  in each second of CPU",
                    [r.per_cpu_second for r in stock],
                    [r.per_cpu_second for r in other],
                    "tx",
                )
            )
    report.notes += notes(measured, report.details.get("recovery", {}))
    report.details |= {
        "settings": sides,
        "measured": {
            load: {name: [asdict(result) for result in results] for name, results in by_side.items()}
            for load, by_side in measured.items()
        },
        "machine": {"memory_mb": memory_mb(), "cpus": os.cpu_count()},
    }
    return report


def notes(
    measured: Mapping[str, Mapping[str, list[Result]]], recoveries: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return what the table has no room for: the log written for each transaction, recoveries, the
    machine's load.
    """
    lines = []
    for load, sides in measured.items():
        written = ", ".join(
            f"{name} {statistics.median(result.wal_bytes for result in results):,.0f}"
            for name, results in sides.items()
        )
        lines.append(f"{load}: bytes of WAL for each transaction: {written}")
    for name, figures in recoveries.items():
        lines.append(
            f"{name}: crash after {figures['wal_mb']:,.0f} MB of WAL since the checkpoint, "
            f"back in {figures['seconds']:.1f} s"
        )
    others = [
        result.others for sides in measured.values() for results in sides.values() for result in results
    ]
    lines.append(
        f"other programs took {statistics.median(others):.0%} of the CPUs meanwhile (median), "
        f"{max(others):.0%} at most; on a busy machine the lines by second of CPU say more"
    )
    return lines


def build(
    base: Path, sides: Mapping[str, Mapping[str, str]], options: argparse.Namespace
) -> dict[str, Cluster]:
    """Make one cluster a contender, all from the same files."""
    first, *others = [Cluster(base, name) for name in sides]
    first.create()
    first.configure({"max_wal_size": "4GB"})
    first.start()
    print(f"filling pgbench's tables at scale {options.scale}", flush=True)
    run(BIN / "pgbench", "-h", first.socket, "-i", "-q", "-s", str(options.scale), "postgres")
    first.sql("CREATE EXTENSION pg_prewarm")
    first.stop()
    for other in others:
        other.copy_from(first)
    clusters = {cluster.name: cluster for cluster in (first, *others)}
    for name, cluster in clusters.items():
        cluster.configure(sides[name])
    return clusters


def one_round(
    clusters: Mapping[str, Cluster], load: str, number: int, options: argparse.Namespace
) -> list[tuple[str, Result]]:
    """Measure one load on every cluster in turn; with --quiet all of them again when the machine was not.

    Raises:
        BenchmarkError: if the machine does not get quiet.
    """
    for _ in range(ATTEMPTS):
        results = []
        for name, cluster in clusters.items():
            if options.quiet is not None:
                wait_for_quiet(options.quiet / 100, QUIET_SECONDS)
            result = one_run(cluster, load, number, options)
            results.append((name, result))
            if options.quiet is not None and result.others > options.quiet / 100:
                print(f"again, others took {result.others:.0%} of the CPUs: {load} {name}", flush=True)
                break
        else:
            return results
    raise BenchmarkError(
        f"other programs took more than --quiet {options.quiet} % of the CPUs in {ATTEMPTS} attempts at "
        f"{load}; end them, or allow more"
    )


def one_run(cluster: Cluster, load: str, number: int, options: argparse.Namespace) -> Result:
    """Measure one load on one cluster, the only one that runs then; return transactions per second.

    Before it: the tables are read into memory, the same load for some seconds (it fills the caches and the
    pool of WAL files), and a checkpoint, so that both sides start from the same place in the checkpoint
    cycle.
    """
    cluster.start()
    try:
        cluster.sql("SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relname LIKE 'pgbench_accounts%'")
        if options.warm_up:
            pgbench(cluster, load, number, options.warm_up, options)
        cluster.sql("CHECKPOINT")
        postmaster = cluster.postmaster()
        before = usage(postmaster)
        log_before = cluster.wal_position()
        tps = pgbench(cluster, load, number, options.seconds, options)
        written = cluster.wal_position() - log_before
        after = usage(postmaster)
        transactions = tps * options.seconds
        return Result(
            tps=tps,
            per_cpu_second=transactions / (after.server - before.server),
            wal_bytes=written / transactions,
            others=after.others_since(before),
        )
    finally:
        cluster.stop()


def pgbench(cluster: Cluster, load: str, number: int, seconds: int, options: argparse.Namespace) -> float:
    """Run pgbench for some seconds and return its transactions per second, without the time to connect."""
    said = run(
        BIN / "pgbench", "-h", cluster.socket, "-M", "prepared", "-c", str(options.clients),
        "-j", str(min(options.clients, options.cpus)), "-T", str(seconds), f"--random-seed={number + 1}",
        *LOADS[load], "postgres",
    )  # fmt: skip
    found = re.search(r"^tps = ([0-9.]+) \(without initial connection time\)$", said, re.MULTILINE)
    if not found:
        raise BenchmarkError(f"pgbench printed no tps:\n{said}")
    return float(found.group(1))


def recovery(cluster: Cluster, options: argparse.Namespace) -> dict[str, float]:
    """Crash the cluster under load; return the WAL written since its last checkpoint (MB) and the seconds
    to be back.
    """
    cluster.start()
    cluster.sql("CHECKPOINT")
    pgbench(cluster, "simple-update", 0, options.seconds, options)
    written = float(cluster.sql("SELECT pg_current_wal_lsn() - redo_lsn FROM pg_control_checkpoint()"))
    cluster.stop("immediate")
    seconds = cluster.start()
    cluster.stop()
    return {"wal_mb": written / 2**20, "seconds": seconds}
