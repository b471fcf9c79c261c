"""How long the service is away: a table is dropped, playbooks/restore.yml takes the database back to just before it,
and the clock runs from the command to the proxy's first good answer to a request that needs the table.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from scripts.benchmarks.backup_host import DATA, DatabaseHost
from scripts.benchmarks.backup_rows import SCHEMA
from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host, playbook, task_seconds
from scripts.benchmarks.report import Report

# Seconds.
LIMIT = 900.0
DOMAIN = "intowork.test"
# Needs the table that is dropped.
PATH = "/api/jobs?limit=1"
LOST = "jobs"
AFTERWARDS = "backup : backup | Make a backup (full)"


@dataclass(frozen=True)
class Restored:
    """What came out.

    Attributes:
        bytes: of the database.
        wal_bytes: written since the backup, and replayed.
        back: seconds from the command to the service.
        whole: seconds of the whole command, which makes a full backup after the service is back.
        backup: seconds of that backup.
        held: seconds for which the pooler's clients waited.
        tasks: the tasks and their seconds, slowest first.
    """

    bytes: int
    wal_bytes: int
    back: float
    whole: float
    backup: float
    held: float
    tasks: list[tuple[str, float]]


def measure(database: DatabaseHost, inventory: Path, cache: Path, wal_megabytes: int) -> Restored:
    """Lose a table after some WAL, and restore.

    Raises:
        BenchmarkError: if the service answers without the table, the restore fails, or rows are not as they were.
    """
    if database.has_hole:
        database.back_up()
    before = database.sql("SELECT pg_current_wal_lsn()")
    write(database, wal_megabytes * 1_000_000)
    rows = database.sql(f"SELECT count(*) FROM {SCHEMA}.since")
    wal = int(database.sql(f"SELECT pg_current_wal_lsn() - '{before}'::pg_lsn"))
    moment = database.sql("SELECT clock_timestamp()")
    size = database.size()
    database.sql(f"DROP TABLE {LOST} CASCADE")
    if answers(database.host):
        raise BenchmarkError(
            f"{PATH} is answered without the table {LOST}: it does not tell when the service is back"
        )
    with Watch(database.host) as watch:
        seconds, output = playbook(
            inventory,
            cache,
            "playbooks/restore.yml",
            f"--extra-vars={{restore_target: '{moment}', restore_confirm: yes}}",
        )
    if watch.back is None:
        raise BenchmarkError(
            f"{PATH} is not answered after the restore; the end of its output:\n{output[-3000:]}"
        )
    if (there := database.sql(f"SELECT count(*) FROM {SCHEMA}.since")) != rows:
        raise BenchmarkError(f"{there} rows came back of the {rows} that were there at {moment}")
    database.host.run(f"rm -rf {DATA}.before-restore-*")
    database.sql(f"DROP TABLE {SCHEMA}.since")
    tasks = task_seconds(output)
    waited = re.search(r"clients of the pooler waited ([0-9.]+) s", output)
    return Restored(
        bytes=size,
        wal_bytes=wal,
        back=watch.back,
        whole=seconds,
        backup=dict(tasks).get(AFTERWARDS, float("nan")),
        held=float(waited[1]) if waited else float("nan"),
        tasks=tasks,
    )


def write(database: DatabaseHost, size: int) -> None:
    """Write rows of about `size` bytes, each in the WAL: what was done since the backup."""
    database.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    database.sql(
        f"CREATE TABLE {SCHEMA}.since AS SELECT number, sha512(number::text::bytea) AS one,"
        f" sha512((-number)::text::bytea) AS two FROM generate_series(1, {size // 180}) AS number"
    )


def answers(host: Host) -> bool:
    """Whether the proxy has a good answer to a request that needs the table."""
    request = urllib.request.Request(f"https://{host.address}{PATH}", headers={"Host": DOMAIN})
    # The certificate is one of the host's own.
    unverified = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(request, timeout=5, context=unverified) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Watch:
    """Asks four times a second while the block runs; `back` is after how many seconds the first good answer came."""

    def __init__(self, host: Host) -> None:
        self.back: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(host,), daemon=True)

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self, host: Host) -> None:
        while self.back is None and not self._over.wait(0.25):
            if answers(host):
                self.back = time.monotonic() - self._began
                print(f"the service is back after {self.back:.0f} s", flush=True)


def judge(report: Report, found: Restored) -> None:
    """Hold it against the limit, and say where the time went."""
    size = f"{found.bytes / 1e9:.1f} GB"
    report.at_most(f"service back after a restore of {size}", LIMIT, found.back, "s")
    report.notes += [
        f"restore.yml: {found.back:.0f} s from the command to the first good answer, after"
        f" {found.wal_bytes / 1e6:.0f} MB of WAL; clients of the pooler waited {found.held:.1f} s of them",
        f"restore.yml: {found.whole:.0f} s in all; {found.backup:.0f} s ({found.backup / found.whole:.0%}) of them are"
        " the full backup that follows, while the service is back",
        *(f"  {seconds:6.1f} s  {task}" for task, seconds in found.tasks[:6]),
    ]
