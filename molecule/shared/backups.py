"""Backups of a landscape: its repository, the WAL that is in it, and clusters that are restored from it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.landscape import Landscape
from shared.machine import Machine
from shared.sql import Superuser
from shared.wait import until

PLACE = "/var/lib/postgresql/aside"
SOCKET = "/run/aside"
SEGMENT = re.compile(r"[0-9A-F]{24}")
# Starts a restored cluster that neither archives nor lets anybody in by TCP, with no settings of the live one.
START = f"""
printf 'local all all trust\\n' >{PLACE}/pg_hba.conf
: >{PLACE}/pg_ident.conf
install -d -o postgres -g postgres {SOCKET}
chown postgres: {PLACE}/pg_hba.conf {PLACE}/pg_ident.conf
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D {PLACE} -w -t 120 -l {SOCKET}/log -o "\\
  -c config_file=/dev/null -c listen_addresses= -c unix_socket_directories={SOCKET} -c archive_mode=off \\
  -c hba_file={PLACE}/pg_hba.conf -c ident_file={PLACE}/pg_ident.conf" start >/dev/null || \\
  {{ cat {SOCKET}/log; exit 1; }}
"""
STOP = f"""
if [ -e {PLACE}/postmaster.pid ]; then
  runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D {PLACE} -m immediate -w stop >/dev/null
fi
rm -rf {PLACE} {SOCKET}
"""


@dataclass(frozen=True)
class Backups:
    """The backups of a landscape: `database` is the host that archives, `keeper` the one with the repository."""

    database: Machine
    keeper: Machine
    stanza: str
    name: str

    @classmethod
    def of(cls, landscape: Landscape) -> Backups:
        """Those of the inventory."""
        return cls(
            landscape.first("database"),
            landscape.first("backup"),
            landscape.value("bundle_name"),
            landscape.value("bundle_database"),
        )

    def pgbackrest(
        self, machine: Machine, *words: str, timeout: int = 120, ok: tuple[int, ...] = (0,)
    ) -> str:
        """Run pgBackRest on a host as postgres, and return all that it says."""
        command = shlex.join(
            ["runuser", "-u", "postgres", "--", "pgbackrest", f"--stanza={self.stanza}", *words]
        )
        return machine.sh(f"cd / && {command} 2>&1", timeout=timeout, ok=ok)

    @property
    def superuser(self) -> Superuser:
        """The superuser of the live cluster."""
        return Superuser(self.database, "postgres")

    def segments(self) -> set[str]:
        """The WAL segments that the repository has."""
        found = self.keeper.sh(f"find /var/lib/pgbackrest/archive/{self.stanza} -type f -printf '%f\\n'")
        return {name[:24] for name in found.splitlines() if SEGMENT.match(name)}

    def switch(self) -> str:
        """End a segment that has something in it, and return its name."""
        self.superuser("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000))")
        return self.superuser("SELECT pg_walfile_name(pg_switch_wal())")

    def waiting(self) -> list[str]:
        """The segments that PostgreSQL keeps until they are archived."""
        statement = "SELECT name FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready' ORDER BY name"
        return [name[:24] for name in self.superuser(statement).splitlines()]

    def arrives(self, segment: str, *, seconds: float = 180) -> None:
        """Wait until the repository has a segment."""
        until(
            lambda: segment in self.segments(),
            seconds=seconds,
            what=f"{segment} in the repository",
            interval=1,
        )

    @contextmanager
    def restored(self, machine: Machine, *words: str) -> Iterator[Superuser]:
        """A cluster that pgBackRest restored on a host with these options, running on a socket of its own."""
        machine.sh(STOP)
        machine.sh(f"install -d -o postgres -g postgres -m 0700 {PLACE}")
        try:
            directory = ("--reset-pg1-host", f"--pg1-path={PLACE}", "--archive-mode=off")
            self.pgbackrest(machine, *directory, *words, "restore", timeout=300)
            machine.sh(START, timeout=180)
            aside = Superuser(machine, self.name, SOCKET)
            until(
                lambda: aside("SELECT NOT pg_is_in_recovery()") == "t",
                seconds=120,
                what="the end of recovery",
            )
            yield aside
        finally:
            machine.sh(STOP)
