"""Throwaway PostgreSQL 15 clusters: on disk, with checksums, reached by a unix socket, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

BIN = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"
PREFIX = "bench-postgresql-"
STOP_SECONDS = 120
# Both sides of a comparison have these: to be out of the way of others, and to be durable.
COMMON = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "100",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
}


class BenchmarkError(Exception):
    """The benchmark cannot run or was wrong; the message says what to do."""


def as_owner(*command: str | Path) -> list[str]:
    """Return the command as PostgreSQL's user runs it; initdb and postgres refuse root."""
    words = [str(word) for word in command]
    return ["runuser", "-u", OWNER, "--", *words] if os.geteuid() == 0 else words


def run(*command: str | Path) -> str:
    """Run a program of PostgreSQL's and return what it prints. PGPORT and its like lead it nowhere else.

    Raises:
        BenchmarkError: with the program's own words, if it fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        as_owner(*command), capture_output=True, text=True, check=False, cwd="/", env=environment
    )
    if done.returncode != 0:
        raise BenchmarkError(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


class Cluster:
    """One cluster: `base/NAME/data` and, while it runs, a socket in `base/NAME`."""

    def __init__(self, base: Path, name: str) -> None:
        self.name = name
        self.socket = base / name
        self.data = self.socket / "data"

    def create(self) -> None:
        """Make an empty cluster with data checksums."""
        run("mkdir", "-m", "0700", self.socket)
        run(
            BIN / "initdb",
            "--pgdata",
            self.data,
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
        )

    def copy_from(self, other: Cluster) -> None:
        """Start from the same files as `other`, which has to be stopped."""
        run("mkdir", "-m", "0700", self.socket)
        run("cp", "-a", other.data, self.data)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the settings; they are in force from the next start.

        Raises:
            BenchmarkError: if PostgreSQL refuses one of them.
        """
        lines = [f"{name} = '{value}'\n" for name, value in {**COMMON, **settings}.items()]
        lines.append(f"unix_socket_directories = '{self.socket}'\n")
        path = self.data / "postgresql.auto.conf"
        path.write_text("".join(lines))
        run(BIN / "postgres", "-D", self.data, "-C", "shared_buffers")

    def start(self) -> float:
        """Start, wait until it takes connections; return the seconds that took, crash recovery included."""
        began = time.monotonic()
        run(
            BIN / "pg_ctl",
            "start",
            "--pgdata",
            self.data,
            "--wait",
            "--timeout=600",
            "--log",
            self.socket / "log",
            "--silent",
        )
        return time.monotonic() - began

    def stop(self, mode: str = "fast") -> None:
        """Stop; "immediate" is a crash: no checkpoint, and the next start recovers."""
        if (self.data / "postmaster.pid").exists():
            run(
                BIN / "pg_ctl",
                "stop",
                "--pgdata",
                self.data,
                "--mode",
                mode,
                f"--timeout={STOP_SECONDS}",
                "--silent",
            )

    def postmaster(self) -> int:
        """Return the process id of the running cluster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def wal_position(self) -> int:
        """Return how many bytes of write-ahead log the cluster has written in its life."""
        return int(self.sql("SELECT (pg_current_wal_lsn() - '0/0')::bigint"))

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL and return its rows, unaligned and without a heading."""
        return run(
            "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.socket,
            "-d",
            database,
            "-c",
            statement,
        ).strip()


@contextlib.contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Give a directory for clusters under `parent`; whatever runs in it is ended and all of it removed
    afterwards.

    SIGTERM and SIGHUP are handled like Ctrl-C. What a killed benchmark left behind is removed first.

    Raises:
        BenchmarkError: if PostgreSQL 15 is not installed, or `parent` is in memory: a commit costs nothing
        there.
    """
    if not (BIN / "postgres").exists():
        raise BenchmarkError(f"{BIN}/postgres is not there. Install it: apt-get install postgresql-15")
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(parent)], capture_output=True, text=True, check=True
    ).stdout.strip()
    if kind in {"tmpfs", "ramfs"}:
        raise BenchmarkError(
            f"{parent} is in memory ({kind}). Give --directory one on a disk: commits are measured"
        )
    remove_leftovers(parent)

    def give_up(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, give_up)
    base = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    try:
        if os.geteuid() == 0:
            shutil.chown(base, OWNER)
        yield base
    finally:
        # A second Ctrl-C must not leave half of it behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        discard(base)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def remove_leftovers(parent: Path) -> None:
    """Remove the clusters of benchmarks whose process is gone."""
    for base in parent.glob(f"{PREFIX}*"):
        pid = base.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            discard(base)


def discard(base: Path) -> None:
    """End the clusters under `base` at once and remove their files."""
    for pid_file in base.glob("*/data/postmaster.pid"):
        run(
            BIN / "pg_ctl",
            "stop",
            "--pgdata",
            pid_file.parent,
            "--mode=immediate",
            f"--timeout={STOP_SECONDS}",
            "--silent",
        )
    shutil.rmtree(base)
