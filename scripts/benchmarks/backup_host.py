"""The database host of `scripts/bench backup`: its clock, its cluster, its archive and its backups."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host

DATABASE = "intowork"
STANZA = "intowork"
DATA = "/var/lib/postgresql/15/main"
REPOSITORY = "/var/lib/pgbackrest"
# On the disk of the data, so that all ways read from it and write to it.
WORK = "/var/lib/postgresql/15/bench"
HOLE = "/var/lib/bench-hole"
# Lets go of what the kernel keeps of these files: each way begins with a read from the disk.
FORGET = """
import os, sys
for top in sys.argv[1:]:
    for where, _, names in os.walk(top):
        for name in names:
            try:
                file = os.open(os.path.join(where, name), os.O_RDONLY | os.O_NOFOLLOW)
            except OSError:
                continue
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
"""


@dataclass(frozen=True)
class Stored:
    """A full backup: what it took, and the bytes of the cluster and of what is kept of it."""

    seconds: float
    database_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class DatabaseHost:
    """A host with the cluster."""

    host: Host

    @property
    def has_hole(self) -> bool:
        """Whether WAL was kept out of the archive since the last full backup: then nothing can be restored."""
        return "yes" in self.host.run(f"if [ -e {HOLE} ]; then echo yes; fi")

    @property
    def processes(self) -> int:
        """How many processes the product gives to a backup, a dump and a restore."""
        return int(json.loads(self.host.run("cat /etc/bundle/backup.json"))["processes"])

    def sql(self, statement: str, database: str = DATABASE) -> str:
        """What a statement of PostgreSQL's superuser returns, unaligned and without headings."""
        psql = f"psql -X -q -A -t -v ON_ERROR_STOP=1 -d {database} -c {shlex.quote(statement)}"
        return self.host.run(f"cd / && runuser -u postgres -- {psql}").strip()

    def size(self) -> int:
        """Bytes of the database."""
        return int(self.sql(f"SELECT pg_database_size('{DATABASE}')"))

    def seconds(self, script: str) -> float:
        """The seconds that a shell script takes by the host's own clock.

        Raises:
            BenchmarkError: if a command of it fails.
        """
        printed = self.host.run(
            "cd / && set -e -o pipefail; begun=$EPOCHREALTIME\n"
            f'{script}\nended=$EPOCHREALTIME; echo; echo "$begun $ended"'
        )
        begun, ended = printed.splitlines()[-1].split()
        return float(ended) - float(begun)

    def pgbackrest(self, *words: str) -> str:
        """Run pgBackRest as the product does, and return what it prints."""
        line = ["runuser", "-u", "postgres", "--", "pgbackrest", f"--stanza={STANZA}", *words]
        return self.host.run(f"cd / && {shlex.join(line)}")

    def cold(self, *directories: str) -> None:
        """Write out all that is changed, and let the kernel forget what it keeps of the files in these directories."""
        self.sql("CHECKPOINT")
        self.host.run(f"sync; python3 -c {shlex.quote(FORGET)} {shlex.join(directories)}")

    @contextlib.contextmanager
    def unarchived(self) -> Iterator[None]:
        """Meanwhile WAL goes nowhere: that of many GB would take the repository's room and the processors."""
        self.host.run(f"touch {HOLE}")
        self.sql("ALTER SYSTEM SET archive_command = '/bin/true'")
        self.sql("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.sql("ALTER SYSTEM RESET archive_command")
            self.sql("SELECT pg_reload_conf()")

    def backups(self) -> list[dict[str, Any]]:
        """The backups that there are, the oldest first, as pgBackRest describes them."""
        (stanza,) = json.loads(self.pgbackrest("--output=json", "info"))
        found: list[dict[str, Any]] = stanza["backup"]
        return found

    def back_up(self, script: str = "systemctl start backup@full") -> Stored:
        """Make a full backup as cron does, or by another command, and remove those before it: each is as large.

        Raises:
            BenchmarkError: if it fails, with what it said.
        """
        try:
            seconds = self.seconds(script)
        except BenchmarkError as error:
            said = self.host.run("journalctl --unit backup@full --output=cat --no-pager --lines=20")
            raise BenchmarkError(f"{error}\n{said}") from error
        self.host.run(f"rm -f {HOLE}")
        *older, newest = self.backups()
        for label in (one["label"] for one in older if one["type"] == "full"):
            self.pgbackrest(f"--set={label}", "expire")
        return Stored(seconds, newest["info"]["size"], newest["info"]["repository"]["delta"])

    def remove(self) -> None:
        """Remove what a way has made."""
        self.host.run(f"rm -rf {WORK}")
