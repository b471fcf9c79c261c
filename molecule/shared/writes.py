"""Rows that are written while something happens, and which of them were acknowledged."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from types import TracebackType

from shared.sql import Endpoints
from shared.wait import until

TABLE = "public.acknowledged"
PLACE = "/var/tmp/acknowledged"
UNIT = "acknowledged.service"
# Each row in a transaction of its own; its number and the moment are written down once its commit has come back.
WRITER = f"""
import sys, time
import psycopg
conninfo, log = sys.argv[1], open(sys.argv[2], "w", buffering=1)
number = 0
with psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as session:
    print("ready", file=log)
    while True:
        number += 1
        session.execute("INSERT INTO {TABLE} (number) VALUES (%s)", [number])
        print(number, time.time(), file=log)
        time.sleep(0.05)
"""


@dataclass(frozen=True)
class Acknowledged:
    """The rows that the client knows to be committed: the moment of each (seconds since the epoch) by its number."""

    moments: dict[int, float]

    @property
    def last(self) -> float:
        """When the last one was acknowledged."""
        return max(self.moments.values())

    def lost(self, there: int) -> list[int]:
        """The numbers of those that are gone, where `there` is the highest number that is still there."""
        return [number for number in self.moments if number > there]

    def lost_seconds(self, there: int) -> float:
        """The time between the first one that is gone and the last one."""
        return max((self.last - self.moments[number] for number in self.lost(there)), default=0.0)


class Writes:
    """A client on the first API host that writes 20 rows a second through the pool, while the block runs."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._superuser = endpoints.superuser
        self._sql = endpoints.pooled("app")
        self._machine = endpoints.landscape.first("api")
        self._python = f"/srv/{endpoints.landscape.value('bundle_name')}/current/venv/bin/python"

    def __enter__(self) -> Writes:
        self._superuser(
            f"DROP TABLE IF EXISTS {TABLE}",
            f"CREATE TABLE {TABLE} (number bigint PRIMARY KEY)",
            f"GRANT INSERT ON {TABLE} TO {self._sql.user}",
        )
        words = [self._python, "-c", WRITER, f"{self._sql.conninfo} password={self._sql.password}", PLACE]
        # The limit is for a test that is killed.
        limits = f"--unit {UNIT} --collect --property RuntimeMaxSec=600"
        self._machine.sh(f"rm -f {PLACE}; systemd-run --quiet {limits} {shlex.join(words)}")
        until(lambda: "ready" in self._machine.sh(f"cat {PLACE}"), seconds=30, what="the client's connection")
        return self

    def acknowledged(self) -> Acknowledged:
        """What is acknowledged so far."""
        lines = [line.split() for line in self._machine.sh(f"cat {PLACE}").splitlines() if " " in line]
        return Acknowledged({int(number): float(moment) for number, moment in lines})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._machine.sh(f"systemctl stop {UNIT}; rm -f {PLACE}", ok=(0, 5))
