"""A full backup and its restore, beside a plain copy of the same bytes and beside pg_dump and pg_restore."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.benchmarks.backup_host import DATA, DATABASE, REPOSITORY, WORK, DatabaseHost
from scripts.benchmarks.report import Report, aligned, compare

LOADED = "bench_loaded"
WAYS = ("copy", "backup", "restore", "pg_dump", "pg_restore")
# Against the copy, in time. A backup compresses, seals and checks each page, a restore undoes that.
BACKUP_LIMIT = 5.0
RESTORE_LIMIT = 3.0
# Of the largest against the smallest, in MB/s.
GROWTH_LIMIT = 0.8
# No way may leave to the kernel what another has written to the disk.
SYNC = f"find {WORK} -type f -print0 | xargs -0 -r -P {{processes}} -n 64 sync"
AS_POSTGRES = "runuser -u postgres --"
RESTORE = (
    f"{AS_POSTGRES} pgbackrest --stanza=intowork --reset-pg1-host --pg1-path={WORK}/data --lock-path={WORK}/lock"
    f" --spool-path={WORK}/spool --type=none --log-level-console=warn restore"
)


@dataclass
class Measured:
    """What came out at one size: the seconds of each way in each round, and bytes.

    Attributes:
        wanted: the size that was asked for, in bytes.
        database_bytes: of the cluster, as the backup has it; all MB/s are of these.
        stored_bytes: of the backup in the repository.
        dump_bytes: of the dump.
        variants: seconds of a backup and of its restore with other options, and the bytes stored, by name.
    """

    wanted: int
    database_bytes: int = 0
    stored_bytes: int = 0
    dump_bytes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    variants: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)

    @property
    def gigabytes(self) -> str:
        """The size that was asked for, as people say it."""
        return f"{self.wanted / 1e9:g} GB"

    def speed(self, way: str) -> float:
        """MB/s of the median."""
        return self.database_bytes / 1e6 / statistics.median(self.seconds[way])


def measure(
    database: DatabaseHost,
    wanted: int,
    rounds: int,
    variants: Mapping[str, Sequence[str]],
    *,
    with_dump: bool = True,
) -> Measured:
    """All ways, or all but those of a dump, `rounds` times, at the size that the database has now."""
    found = Measured(wanted)
    ways = Ways(database, found)
    # The backup comes after the dump's restore, which keeps its WAL out of the archive. A copy is beside each.
    dump = (ways.dump, ways.load) if with_dump else ()
    orders = (
        (ways.copy, *dump, ways.copy, ways.back_up, ways.restore),
        (*dump, ways.copy, ways.back_up, ways.restore, ways.copy),
    )
    for number in range(rounds):
        for way in orders[number % 2]:
            way()
        for name, options in variants.items():
            ways.variant(name, options)
        copies = found.seconds["copy"]
        copies[-2:] = [statistics.mean(copies[-2:])]
        took = "  ".join(f"{way} {taken[-1]:.1f}" for way, taken in found.seconds.items() if taken)
        print(f"{found.gigabytes}, round {number + 1}/{rounds}: {took} s", flush=True)
    return found


@dataclass
class Ways:
    """The ways, each from files that the kernel has forgotten to files that are on the disk."""

    database: DatabaseHost
    found: Measured

    def timed(self, way: str, script: str) -> None:
        """Take the time of a way that leaves its files in the working directory."""
        found = self.database.seconds(f"{script}\n{SYNC.format(processes=self.database.processes)}")
        self.found.seconds[way].append(found)

    def copy(self) -> None:
        """The files that a backup has, copied by cp with as many processes as a backup, and fsynced."""
        self.fresh(DATA)
        # The directories first: two of cp that make the same one at once fail.
        files = "find base global pg_xact -type"
        self.timed(
            "copy",
            f"cd {DATA} && {files} d -print0 | (cd {WORK} && xargs -0 mkdir -p) && {files} f -print0 |"
            f" xargs -0 -P {self.database.processes} -n 8 cp --parents --target-directory={WORK}; cd /",
        )
        self.database.remove()

    def back_up(self) -> None:
        """The product's own."""
        self.fresh(DATA)
        made = self.database.back_up()
        self.found.seconds["backup"].append(made.seconds)
        self.found.database_bytes, self.found.stored_bytes = made.database_bytes, made.stored_bytes

    def restore(self) -> None:
        """Of the newest backup, as the product does it, without recovery."""
        self.fresh(REPOSITORY)
        self.timed("restore", RESTORE)
        self.database.remove()

    def dump(self) -> None:
        """As the product does it, without the reading back that follows there."""
        self.fresh(DATA)
        self.timed(
            "pg_dump",
            f"{AS_POSTGRES} pg_dump --format=directory --jobs={self.database.processes} --file={WORK}/dump {DATABASE}",
        )
        self.found.dump_bytes = int(self.database.host.run(f"du -sb {WORK}/dump").split()[0])

    def load(self) -> None:
        """Restore the dump into a database beside; its WAL is written, but not archived."""
        self.database.cold(WORK)
        self.database.sql(f"CREATE DATABASE {LOADED} TEMPLATE template0", "postgres")
        with self.database.unarchived():
            restore = (
                f"pg_restore --exit-on-error --jobs={self.database.processes} --dbname={LOADED} {WORK}/dump"
            )
            self.timed(
                "pg_restore", f"{AS_POSTGRES} {restore}\n{AS_POSTGRES} psql -X -q -c CHECKPOINT postgres"
            )
            self.database.sql(f"DROP DATABASE {LOADED}", "postgres")
        self.database.remove()

    def variant(self, name: str, options: Sequence[str]) -> None:
        """A backup with other options of pgBackRest, and its restore."""
        self.fresh(DATA)
        words = " ".join(f"--{option}" for option in options)
        made = self.database.back_up(
            f"{AS_POSTGRES} pgbackrest --stanza=intowork --type=full --log-level-console=warn {words} backup"
        )
        self.fresh(REPOSITORY)
        restored = self.database.seconds(RESTORE)
        self.database.remove()
        self.found.variants.setdefault(name, []).append((made.seconds, restored, made.stored_bytes))
        print(f"  {name}: backup {made.seconds:.1f}, restore {restored:.1f} s", flush=True)

    def fresh(self, source: str) -> None:
        """An empty working directory, and a source that has to be read from the disk."""
        self.database.remove()
        self.database.host.run(f"install -d -o postgres -g postgres -m 0700 {WORK} {WORK}/data")
        self.database.cold(source)


def judge(report: Report, sizes: Sequence[Measured]) -> None:
    """Put the ratios and the seconds into the report, and hold them against the limits."""
    for found in sizes:
        for way, limit in (("backup", BACKUP_LIMIT), ("restore", RESTORE_LIMIT)):
            what = f"{way} of {found.gigabytes}"
            row = compare(f"{what}, against cp", found.seconds["copy"], found.seconds[way], "s")
            report.rows.append(row)
            if not row.ratio <= limit:
                report.misses.append(
                    f"{what}: {row.ratio:.2f} times as long as cp, at most {limit:.2f} was to be shown"
                )
            other = {"backup": "pg_dump", "restore": "pg_restore"}[way]
            if not found.seconds[other]:
                continue
            row = compare(f"{what}, against {other}", found.seconds[other], found.seconds[way], "s")
            report.rows.append(row)
            if not row.ratio < 1:
                report.misses.append(
                    f"{what}: {row.ratio:.2f} times as long as {other}; it was to be quicker"
                )
    report.notes += absolute(sizes)
    least, most = min(sizes, key=wanted), max(sizes, key=wanted)
    for way in ("backup", "restore") if least.wanted < most.wanted else ():
        report.at_least(
            f"{way}, MB/s at {most.gigabytes} against {least.gigabytes}",
            GROWTH_LIMIT,
            most.speed(way) / least.speed(way),
            "times",
        )


def wanted(found: Measured) -> int:
    """The size that was asked for."""
    return found.wanted


def absolute(sizes: Sequence[Measured]) -> list[str]:
    """The table of seconds, MB/s of the cluster's bytes, and what is stored of them."""
    lines: list[tuple[str, ...]] = [("size", "way", "rounds", "s", "MB/s", "GB", "stored GB", "of the bytes")]
    for found in sizes:
        stored = {"backup": found.stored_bytes, "pg_dump": found.dump_bytes, "copy": found.database_bytes}
        for way in filter(found.seconds.get, WAYS):
            seconds = statistics.median(found.seconds[way])
            line = cells(seconds, found.database_bytes, stored.get(way))
            lines.append((found.gigabytes, way, str(len(found.seconds[way])), *line))
        for name, measured in found.variants.items():
            for at, way in enumerate(("backup", "restore")):
                seconds = statistics.median(one[at] for one in measured)
                line = cells(seconds, found.database_bytes, measured[-1][2] if way == "backup" else None)
                lines.append((found.gigabytes, f"{way}, {name}", str(len(measured)), *line))
    return ["", *aligned(lines), ""]


def cells(seconds: float, size: int, stored: int | None) -> tuple[str, ...]:
    """The figures of a line of that table."""
    kept = ("", "") if stored is None else (f"{stored / 1e9:.2f}", f"{stored / size:.0%}")
    return (f"{seconds:.1f}", f"{size / 1e6 / seconds:.0f}", f"{size / 1e9:.2f}", *kept)
