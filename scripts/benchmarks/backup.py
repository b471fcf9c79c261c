"""backup: what backups cost and what they are worth, on hosts of the test bed provisioned by site.yml.

Four parts, of which --part takes some:
  sizes   a full backup and its restore at several sizes of the database, beside a plain copy of the same bytes on
          the same disk, and beside pg_dump and pg_restore with the same number of processes, taking turns
  load    what is left of pgbench's TPC-B-like load while a full backup is made
  rto     playbooks/restore.yml at the largest size, from the command to the API's answer through the proxy
  rpo     what power cuts take, with one host and with a backup host

The plain copy is cp with as many processes as a backup has. Each way begins with files that the kernel has forgotten,
and ends when all that it wrote is fsynced, file by file. MB/s are of the cluster's bytes, whatever is written for them.

Needs about 3.5 times the largest size on the disk, and a quiet machine, but for rpo.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from scripts.benchmarks import backup_load, backup_rows, backup_rpo, backup_rto, backup_sizes
from scripts.benchmarks.backup_host import DatabaseHost
from scripts.benchmarks.backup_sizes import Measured
from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import GROUPS, Host, fresh_hosts, playbook, write_landscape
from scripts.benchmarks.report import Report
from scripts.support.paths import STATE

SUMMARY = "backups and restores of 1, 5 and 10 GB against a plain copy, RTO, RPO, pgbench during a backup"
BED = "bbackup"
BULK = Host("bulk1", "10.87.35.10", BED)
DATABASE = Host("rpodb1", "10.87.35.20", BED)
KEEPER = Host("rpobackup1", "10.87.35.21", BED)
PARTS = ("sizes", "load", "rto", "rpo")
# Times the largest size: the database, a copy or a restored cluster, two backups and a dump at a third of it each.
ROOM = 3.5
OTHER_BYTES = 6_000_000_000


def sizes(text: str) -> list[float]:
    """Sizes in GB, the smallest first.

    Raises:
        ArgumentTypeError: one is no size.
    """
    try:
        found = sorted(float(word) for word in text.split(","))
    except ValueError:
        found = []
    if not found or not all(0.05 <= size <= 1000 for size in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: sizes in GB, from 0.05 to 1000, with commas between them, such as 1,5,10"
        )
    return found


def variant(text: str) -> tuple[str, list[str]]:
    """A name and options of pgBackRest.

    Raises:
        ArgumentTypeError: it is not written so.
    """
    name, _, options = text.partition(":")
    words = options.split(",")
    if not name or not all("=" in word and not word.startswith("-") for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a name and options of pgBackRest, such as lz4:compress-type=lz4"
        )
    return name, words


def positive(text: str) -> int:
    """A number of at least 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least 1")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--sizes", type=sizes, default=[1.0, 5.0, 10.0], help="in GB (default 1,5,10)")
    parser.add_argument(
        "--rounds",
        type=lambda text: [positive(word) for word in text.split(",")],
        default=[2, 2, 1],
        help="of each size, the smallest first; the last number is that of all others (default 2,2,1)",
    )
    parser.add_argument(
        "--without-dump", action="store_true", help="leave out pg_dump and pg_restore, which take longest"
    )
    parser.add_argument("--load-rounds", type=positive, default=2, help="of the load (default 2)")
    parser.add_argument("--load-seconds", type=positive, default=30, help="of each load (default 30)")
    parser.add_argument(
        "--load-scale", type=positive, default=50, help="pgbench's scale; 50 is 750 MB (default 50)"
    )
    parser.add_argument("--load-clients", type=positive, default=8, help="connections at once (default 8)")
    parser.add_argument(
        "--wal", type=positive, default=500, help="MB of WAL between backup and restore (default 500)"
    )
    parser.add_argument("--segments", type=positive, default=3, help="to wait for before the cut (default 3)")
    parser.add_argument(
        "--cut-after",
        type=positive,
        default=45,
        help="seconds that the oldest row waits when the power goes; less than archive_timeout (default 45)",
    )
    parser.add_argument(
        "--variant",
        action="append",
        type=variant,
        default=[],
        metavar="NAME:OPTION=VALUE[,…]",
        help="also, at the smallest size, a backup with these options of pgBackRest, and its restore; may be repeated",
    )
    parser.add_argument("--keep", action="store_true", help="leave the last hosts running")
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="go on with the host that --keep left, for sizes, load and rto: parts one after another",
    )


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if there is no room, a host cannot be made, or a way fails.
    """
    parts = set(options.part or PARTS)
    largest = max(options.sizes)
    if parts & {"sizes", "load", "rto"}:
        check_room(int(largest * 1e9))
    report = Report("backup", "limit or other")
    with tempfile.TemporaryDirectory(prefix="bench-backup-") as name:
        work = Path(name)
        keep = options.keep and "rpo" not in parts
        with fresh_hosts(BULK, keep=keep, reuse=options.reuse):
            inventory = provision(work, {BULK: GROUPS}, is_there=options.reuse)
            one_host = on_one_host(options, parts, report, inventory, work)
        if "rpo" in parts:
            with fresh_hosts(DATABASE, KEEPER, keep=options.keep):
                others = [group for group in GROUPS if group != "backup"]
                provision(work, {DATABASE: others, KEEPER: ["backup"]})
                kept, gone, longest = backup_rpo.with_backup_host(
                    DATABASE, KEEPER, options.segments, options.cut_after
                )
            assert one_host is not None
            cuts = backup_rpo.Cuts(one_host, kept, gone, longest, options.segments)
            backup_rpo.judge(report, cuts)
            report.details["rpo"] = asdict(cuts)
    return report


def on_one_host(
    options: argparse.Namespace, parts: set[str], report: Report, inventory: Path, work: Path
) -> backup_rpo.Loss | None:
    """The parts that need one host; returns what its power cut took."""
    one_host = backup_rpo.one_host(BULK, 1000) if "rpo" in parts else None
    database = DatabaseHost(BULK)
    largest = f"{max(options.sizes):g} GB"
    if "sizes" in parts:
        rounds = [*options.rounds, *options.rounds[-1:] * len(options.sizes)]
        found = [measure_size(options, database, *each) for each in zip(options.sizes, rounds, strict=False)]
        backup_sizes.judge(report, found)
        report.details["sizes"] = [asdict(one) for one in found]
    elif parts & {"load", "rto"}:
        backup_rows.fill(database, int(max(options.sizes) * 1e9))
    if "load" in parts:
        loads = backup_load.measure(
            database, options.load_rounds, options.load_seconds, options.load_scale, options.load_clients
        )
        backup_load.judge(report, loads, largest)
        report.details["load"] = asdict(loads)
    if "rto" in parts:
        restored = backup_rto.measure(database, inventory, work / "cache", options.wal)
        backup_rto.judge(report, restored)
        report.details["rto"] = asdict(restored)
    return one_host


def measure_size(options: argparse.Namespace, database: DatabaseHost, size: float, rounds: int) -> Measured:
    """Let the database grow to a size, and measure."""
    there = backup_rows.fill(database, int(size * 1e9))
    print(f"the database has {there / 1e9:.2f} GB", flush=True)
    # They are compared with each other, and at every size that would take long.
    variants = dict(options.variant) if size == min(options.sizes) else {}
    return backup_sizes.measure(
        database, int(size * 1e9), rounds, variants, with_dump=not options.without_dump
    )


def provision(
    work: Path, parts: Mapping[Host, list[str] | tuple[str, ...]], *, is_there: bool = False
) -> Path:
    """Make these hosts what site.yml makes them, unless they are; return their inventory."""
    names = "-".join(host.name for host in parts)
    inventory = write_landscape(work / "inventories" / names, parts)
    if not is_there:
        seconds, _ = playbook(inventory, work / "cache", "site.yml")
        print(f"site.yml on {names}: {seconds:.0f} s", flush=True)
    return inventory


def check_room(largest: int) -> None:
    """Raise BenchmarkError where the disk has too little room for the largest size."""
    place = STATE if STATE.exists() else STATE.parent
    free, needed = shutil.disk_usage(place).free, int(largest * ROOM) + OTHER_BYTES
    if free < needed:
        raise BenchmarkError(
            f"{place} has {free / 1e9:.0f} GB free, and {largest / 1e9:g} GB as the largest of --sizes need"
            f" {needed / 1e9:.0f}: make room, or measure less"
        )
