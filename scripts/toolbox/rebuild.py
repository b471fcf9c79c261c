"""Rebuilding indexes while writes go on: what can be, whether there is room, one at a time, nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg
from psycopg import sql

from toolbox.database import DatabaseError, Session
from toolbox.indexes import Index, leftover_of, read_indexes
from toolbox.output import size_text, time_text

# Any two numbers that nobody else takes: the ASCII of "rein" and "dex".
LOCK = (0x7265696E, 0x646578)
LOCK_HOLDER = """
SELECT a.pid, coalesce(a.usename, '-') AS role, extract(epoch FROM now() - a.backend_start)::float8 AS age
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# REINDEX CONCURRENTLY waits for transactions that are older than its own steps, in this database.
IN_THE_WAY = """
SELECT pid, coalesce(usename, '-') AS role, coalesce(nullif(application_name, ''), '-') AS application, state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 3
"""
# 55P03 and 40P01: somebody was in the way. Anything else would be the same the next time.
WORTH_ANOTHER_ATTEMPT = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
CLEANING_LOCK_TIMEOUT = "10s"


class InterruptedRunError(Exception):
    """A signal asked this command to stop."""


class Interruption:
    """SIGTERM, SIGINT and SIGHUP cancel the statement that runs; what was begun is then cleaned up."""

    def __init__(self, connection: psycopg.Connection[dict[str, object]]) -> None:
        self._connection = connection
        self._told = threading.Event()
        self.name = ""

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take the signals while the block runs."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._take) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self._told.set()
        # Without a server there is nothing to cancel.
        with suppress(psycopg.Error):
            self._connection.cancel()

    def check(self) -> None:
        """Raise InterruptedRunError if a signal came."""
        if self._told.is_set():
            raise InterruptedRunError(self.name)

    def pause(self, seconds: float) -> None:
        """Wait, but not for a signal."""
        self._told.wait(seconds)
        self.check()


@contextmanager
def only_run(session: Session) -> Iterator[None]:
    """Hold the lock of all runs in this database; PostgreSQL frees it when the session ends, however it ends."""
    if not session.row("SELECT pg_try_advisory_lock(%s, %s) AS got", LOCK)["got"]:
        holders = session.rows(LOCK_HOLDER, LOCK)
        who = ", ".join(f"pid {row['pid']} of {row['role']} since {time_text(row['age'])}" for row in holders)
        raise DatabaseError(
            f"another reindex runs in {session.database} ({who or 'it has just ended'}): wait for it, or end it with"
            " SELECT pg_cancel_backend(PID)"
        )
    yield


def refusal(index: Index, *, owner: bool) -> str | None:
    """Why an index cannot be rebuilt while writes go on; None if it can."""
    if index.exclusion:
        return (
            "it belongs to an exclusion constraint, which PostgreSQL does not rebuild concurrently:"
            f" REINDEX INDEX {index.quoted} in a quiet hour, which stops all writes to {index.full_table} meanwhile"
        )
    if index.is_partitioned:
        return "it is of a partitioned table and has no pages of its own: name the indexes of its partitions"
    if index.in_work:
        return "another session builds, rebuilds or drops it at this moment"
    if not owner:
        return f"this role does not own {index.full_table}: run it as postgres, or as the owner"
    return None


def owned_tables(session: Session) -> set[int]:
    """Tables whose indexes this role may rebuild; TOAST tables have their table's owner."""
    rows = session.rows("SELECT oid FROM pg_class WHERE pg_has_role(relowner, 'USAGE')")
    return {row["oid"] for row in rows}


@dataclass(frozen=True)
class Room:
    """A file system, what is free on it, and how much of that a rebuild may need."""

    path: Path
    free: int
    needed: int


def lacking_room(session: Session, index: Index, reserve: int) -> list[Room] | None:
    """The file systems on which a rebuild would leave less than `reserve` bytes; None if they cannot be seen from here.

    A rebuild writes the index a second time, as much WAL again, and sorts in files of about the same size.
    """
    if not session.is_local:
        return None
    row = session.row(
        "SELECT current_setting('data_directory') AS data, pg_tablespace_location(%s) AS tablespace",
        [index.tablespace or 0],
    )
    data = Path(row["data"])
    places = [Path(row["tablespace"] or data), data, data / "pg_wal"]
    rooms: dict[int, Room] = {}
    try:
        for path in places:
            device, stat = path.stat().st_dev, os.statvfs(path)
            needed = rooms[device].needed if device in rooms else 0
            rooms[device] = Room(path, stat.f_bavail * stat.f_frsize, needed + index.size)
    except OSError:
        return None
    return [room for room in rooms.values() if room.free - room.needed < reserve]


def room_text(rooms: list[Room], reserve: int) -> str:
    """What is missing, for people."""
    return "; ".join(
        f"{room.path} has {size_text(room.free)} free, the rebuild may need {size_text(room.needed)}, and"
        f" {size_text(reserve)} have to stay"
        for room in rooms
    )


@dataclass(frozen=True)
class Rebuild:
    """What a rebuild did."""

    index: Index
    attempts: int
    # Why it was given up; empty if it succeeded.
    problem: str = ""


@dataclass
class Rebuilder:
    """Rebuilds one index after the other."""

    session: Session
    interruption: Interruption
    attempts: int
    lock_timeout: float
    backoff: float
    # Told what happens, as it happens.
    tell: Callable[[str], None]

    def rebuild(self, index: Index) -> Rebuild:
        """REINDEX INDEX CONCURRENTLY, again after a lock that was not to be had.

        Raises InterruptedRunError after a signal; what the interrupted statement left is gone then, if it can be.
        """
        problem = ""
        for attempt in range(1, self.attempts + 1):
            self.interruption.check()
            self.session.set("lock_timeout", f"{int(self.lock_timeout * 1000)}ms")
            try:
                self.session.run(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(index.identifier))
            except WORTH_ANOTHER_ATTEMPT as error:
                problem = f"{_first_line(error)}; open transactions: {self._in_the_way()}"
                self.clean(index)
                self.tell(f"{index.full_name}: attempt {attempt} of {self.attempts}: {problem}")
                if attempt < self.attempts:
                    self.interruption.pause(self.backoff * 2 ** (attempt - 1))
            except psycopg.errors.QueryCanceled as error:
                self.clean(index)
                self.interruption.check()
                # Somebody else cancelled it: that is meant.
                return Rebuild(index, attempt, _first_line(error))
            except psycopg.Error as error:
                if self.session.connection.closed:
                    raise DatabaseError(
                        f"the connection was lost while {index.full_name} was rebuilt: {_first_line(error)}."
                        " Run it again: it removes what is left"
                    ) from error
                self.clean(index)
                return Rebuild(index, attempt, _first_line(error))
            else:
                return Rebuild(index, attempt)
        return Rebuild(index, self.attempts, problem)

    def clean(self, index: Index) -> list[str]:
        """Remove what rebuilds of this index left."""
        return self.drop_leftovers(
            lambda _leftover, origin: origin.oid == index.oid or origin.name == index.name
        )

    def drop_leftovers(
        self, chosen: Callable[[Index, Index], bool] = lambda _leftover, _origin: True
    ) -> list[str]:
        """Drop leftovers of rebuilds, concurrently; the messages of those that could not be dropped."""
        problems = []
        for leftover, _origin in find_leftovers(self.session, chosen):
            problem = self._drop(leftover)
            if problem:
                problems.append(f"{leftover.full_name} could not be dropped: {problem}")
            self.tell(f"{leftover.full_name}: {problem or 'left by a rebuild that was killed, dropped'}")
        return problems

    def drop_leftovers_after_signal(self) -> list[str]:
        """The same, where a signal's cancellation may come late and hit the search for leftovers."""
        try:
            return self.drop_leftovers()
        except psycopg.errors.QueryCanceled:
            return self.drop_leftovers()

    def _drop(self, leftover: Index) -> str:
        statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(leftover.identifier)
        self.session.set("lock_timeout", CLEANING_LOCK_TIMEOUT)
        problem = ""
        # A signal's cancellation may come late and hit this instead.
        for _attempt in range(2):
            try:
                self.session.run(statement)
            except psycopg.errors.QueryCanceled as error:
                problem = _first_line(error)
            except psycopg.Error as error:
                return f"{_first_line(error)}; open transactions: {self._in_the_way()}"
            else:
                return ""
        return problem

    def _in_the_way(self) -> str:
        rows = self.session.rows(IN_THE_WAY)
        return (
            "; ".join(
                f"pid {row['pid']} ({row['role']}, {row['application']}, {row['state']}) for {time_text(row['age'])}"
                for row in rows
            )
            or "none any more"
        )


def find_leftovers(
    session: Session, chosen: Callable[[Index, Index], bool] = lambda _leftover, _origin: True
) -> list[tuple[Index, Index]]:
    """Leftovers of rebuilds, each with the index that it was to replace or was replaced by."""
    indexes = read_indexes(session)
    pairs = [(index, leftover_of(index, indexes)) for index in indexes]
    return [(index, origin) for index, origin in pairs if origin is not None and chosen(index, origin)]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
