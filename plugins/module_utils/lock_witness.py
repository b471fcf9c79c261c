"""Which locks a migration held on which relations, and for how long: told by its own sessions, and seen from another.

Its sessions tell after each statement: nothing is missed that a transaction holds, and it counts from the beginning of
the statement to the commit. What commits by itself (CONCURRENTLY) holds nothing any more when it could tell; that is
sampled from a second session.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible.module_utils.alembic_process import AlembicProcess

# The weakest first: https://www.postgresql.org/docs/15/explicit-locking.html#LOCKING-TABLES
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
SAMPLE_SECONDS = 0.02
_SAMPLE = """
SELECT pid, mode, relation::bigint FROM pg_locks
WHERE pid = ANY(%s) AND locktype = 'relation' AND granted AND relation >= 16384
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Lock = tuple[str, int]


class LockWitness:
    """The longest time (s) that each lock, a mode on a relation's oid, was held in one piece."""

    def __init__(self) -> None:
        self.longest: dict[Lock, float] = {}
        self.sessions: set[int] = set()
        self._since: dict[int, dict[Lock, float]] = {}

    def told(self, session: int, since: float, locks: Iterable[Lock]) -> None:
        """What a session holds from `since` on; what it held before and does not any more ended then."""
        held = self._since.setdefault(session, {})
        now = set(locks)
        for lock in held.keys() - now:
            self.held(lock, since - held.pop(lock))
        for lock in now - held.keys():
            held[lock] = since

    def ends(self, at: float) -> None:
        """The migration is over, and with it all that its sessions held."""
        for session in list(self._since):
            self.told(session, at, ())

    def held(self, lock: Lock, seconds: float) -> None:
        """A lock was held for that long."""
        self.longest[lock] = max(self.longest.get(lock, 0.0), seconds)


class WatchedProcess(AlembicProcess):
    """A process of the product whose sessions tell a witness what they hold."""

    def __init__(self, witness: LockWitness, **options: Any) -> None:
        super().__init__(**options)
        self._job["watch_locks"] = True
        self._witness = witness

    def receive(self, meanwhile: Callable[[], None] | None = None, every: float = 0.25) -> dict[str, Any]:
        """As of every process, without what is for the witness."""
        while True:
            event: dict[str, Any] = super().receive(meanwhile, every)
            if event["event"] == "locks":
                locks = [(mode, oid) for mode, oid in event["locks"]]
                self._witness.told(event["session"], event["since"], locks)
                continue
            if event["event"] == "session":
                self._witness.sessions.add(event["pid"])
            return event


class Sampler:
    """Looks every SAMPLE_SECONDS, from a session of its own, at what the witness's sessions hold, while a block runs.

    `rows` is that session's query function. What it sees is a lower bound: from the first look to the last.
    """

    def __init__(self, witness: LockWitness, rows: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._witness, self._rows = witness, rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error and kind is None:
            raise self._error

    def _run(self) -> None:
        seen: dict[tuple[int, Lock], float] = {}
        try:
            while not self._stop.wait(SAMPLE_SECONDS):
                found = self._rows(_SAMPLE, [list(self._witness.sessions)])
                now = time.monotonic()
                held = {(pid, (mode, oid)) for pid, mode, oid in found}
                seen = {key: seen.get(key, now) for key in held}
                for (_, lock), since in seen.items():
                    self._witness.held(lock, now - since)
        except Exception as error:  # noqa: BLE001 -- raised where the block ends
            self._error = error
