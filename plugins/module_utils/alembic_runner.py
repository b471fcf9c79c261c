"""Runs a path of revisions one by one: what is tried again, what is checked, how a failure is told."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.alembic_database import Database, DatabaseError
from ansible.module_utils.alembic_driver import RETRYABLE
from ansible.module_utils.alembic_process import AlembicProcess, ProcessError
from ansible.module_utils.revisions import Revision, RevisionGraph, shown

_LONGEST_WAIT = 30.0  # seconds between two tries
# Statements that may run a second time: what a revision committed by itself does not forbid another try then.
_REPEATABLE = re.compile(
    r"\bIF (NOT )?EXISTS\b|\bOR REPLACE\b|\bVALIDATE CONSTRAINT\b"
    r"|^\s*(ANALYZE|VACUUM|REINDEX|REFRESH|COMMENT ON)\b",
    re.I,
)
# So may one that makes what an earlier statement of the same revision drops, if it is there.
_DROPS = re.compile(r"\bDROP (?:INDEX CONCURRENTLY|INDEX|CONSTRAINT|TABLE) IF EXISTS ([\w.\"]+)", re.I)
_CREATES = re.compile(r"\b(?:INDEX|INDEX CONCURRENTLY|ADD CONSTRAINT|CREATE TABLE) ([\w.\"]+)", re.I)
_NEXT = {
    "23505": "Those rows break the new rule: correct them in the database, then run this again.",
    "23514": "Those rows break the new rule: correct them in the database, then run this again.",
    "23503": "Those rows break the new rule: correct them in the database, then run this again.",
    "42501": "The role of database_url lacks that right: make it a member of the objects' owner.",
    "55P03": "End or wait for what holds the lock, then run this again.",
    "40P01": "Run this again when less is going on.",
    "57014": "A statement_timeout or a person ended it: allow it more time, or do it in smaller steps.",
    "53100": "The database's disk is full: make room, then run this again.",
}


class MigrationFailedError(RuntimeError):
    """A revision that did not reach its end; the message tells a person what happened and what to do.

    `event` is what the product's process said of it, if it did. Unlike the message it can be told without rows of the
    database, which PostgreSQL puts into its own.
    """

    def __init__(self, message: str, event: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.event = dict(event or {})


@dataclass
class Runner:
    """One run. `retries` is how often a revision that met a lock runs again, `delay` the first pause (s)."""

    database: Database
    process: AlembicProcess
    graph: RevisionGraph
    version_table: str
    retries: int
    delay: float
    index_lock_timeout: float
    down: bool = False
    done: list[dict[str, Any]] = field(default_factory=list)
    retried: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    _sessions: list[int] = field(default_factory=list)
    _blockers: list[str] = field(default_factory=list)

    def run(self, path: Sequence[Revision]) -> None:
        """Raises MigrationFailedError at the first revision that fails; those before it stay."""
        for revision in path:
            if self.down and revision.id not in self._applied():
                continue  # went together with another branch
            self._run_one(revision)

    def drop_invalid_indexes(self) -> None:
        """A failed CONCURRENTLY leaves an index that serves nobody and that IF NOT EXISTS would keep."""
        self.dropped += self.database.drop_invalid_indexes(self.index_lock_timeout)

    def _applied(self) -> frozenset[str]:
        applied: frozenset[str] = self.graph.closure(self.database.revisions(self.version_table))
        return applied

    def _run_one(self, revision: Revision) -> None:
        attempt = 0
        seconds = 0.0
        before = self._applied()
        while True:
            attempt += 1
            self._blockers = []
            target = revision.way_back if self.down else revision.id
            try:
                event = self._converse(revision, "downgrade" if self.down else "upgrade", target)
            except ProcessError as error:
                raise MigrationFailedError(
                    f"{self._title(revision)} failed: {error} {self._where()}"
                ) from error
            seconds += event["seconds"]
            moved = (revision.id in self._applied()) != self.down
            if event["event"] == "done" or moved:
                # A failure after its own commit is none of the schema's: the version says that it is
                # complete.
                self._verify(revision, before)
                self.done.append(
                    {"revision": revision.id, "message": revision.message, "seconds": round(seconds, 3)}
                )
                return
            if not self._again(revision, event, attempt):
                raise MigrationFailedError(self._tell(revision, event, attempt), event)

    def _converse(self, revision: Revision, verb: str, target: str) -> dict[str, Any]:
        """One try, with its stuck CONCURRENTLY statements; the event that ended it."""
        self._sessions = []
        self.process.send(do=verb, revision=target)
        while True:
            event: dict[str, Any] = self.process.receive(meanwhile=self._look)
            if event["event"] == "session":
                self._sessions.append(event["pid"])
            elif event["event"] == "stuck":
                again = event["attempt"] <= self.retries and self._pause(revision, event, event["attempt"])
                self.process.send(do="again" if again else "stop")
            else:
                return event

    def _look(self) -> None:
        """Who blocks is known only while it blocks."""
        if self._sessions:
            self._blockers = self.database.blockers(self._sessions) or self._blockers

    def _again(self, revision: Revision, event: dict[str, Any], attempt: int) -> bool:
        if event["sqlstate"] not in RETRYABLE or attempt > self.retries or _unrepeatable(event):
            return False
        return self._pause(revision, event, attempt)

    def _pause(self, revision: Revision, event: dict[str, Any], attempt: int) -> bool:
        """Waits and clears the way for another try; whether there can be one."""
        self.retried.append(
            {
                "revision": revision.id,
                "sqlstate": event["sqlstate"],
                "error": event["error"],
                "statement": event["statement"],
                "blocked_by": self._blockers,
            }
        )
        # Random, so that two that met in a deadlock do not meet again.
        time.sleep(min(self.delay * 2 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.75, 1.25))  # noqa: S311
        try:
            self.drop_invalid_indexes()
        except DatabaseError:
            return False  # told at the end, where it is tried for the last time
        return True

    def _verify(self, revision: Revision, before: frozenset[str]) -> None:
        after = self._applied()
        if after == (before - {revision.id} if self.down else before | {revision.id}):
            return
        if self.down and after < before and revision.id not in after:
            return  # a branch went with it
        raise MigrationFailedError(
            f"{self._title(revision)} ended without an error, but did not do it. {self._where()} "
            "Usually the product's env.py does not commit: run the migrations inside "
            "context.begin_transaction(), and "
            "with SQLAlchemy 2 inside connectable.begin()."
        )

    def _title(self, revision: Revision) -> str:
        return f"{'Downgrade of' if self.down else 'Migration'} {self.graph.describe(revision.id)}"

    def _where(self) -> str:
        done = ", ".join(entry["revision"] for entry in self.done)
        stands = f"The database stands at {shown(self.database.revisions(self.version_table))}"
        return f"{stands}; before it this run completed {done}." if done else f"{stands}."

    def _tell(self, revision: Revision, event: dict[str, Any], attempt: int) -> str:
        words = [f"{self._title(revision)} failed: {event['error']}"]
        words[0] += f" (SQLSTATE {event['sqlstate']})." if event["sqlstate"] else "."
        words += [_sentence(event[name]) for name in ("detail", "hint") if event[name]]
        if event["location"]:
            words.append(f"In {event['location']}.")
        if event["statement"]:
            words.append(f"Statement: {event['statement']}.")
        tries = attempt + sum(entry["revision"] == revision.id for entry in self.retried) - (attempt - 1)
        if tries > 1:
            words.append(f"Tried {tries} times.")
        if event["sqlstate"] in RETRYABLE and self._blockers:
            words.append(f"Blocked by {'; '.join(self._blockers)}.")
        words.append(self._where())
        if event["committed"]:
            kept = "; ".join(event["committed"][:5])
            words.append(
                f"{len(event['committed'])} of its statements are committed already and stay: {kept}."
            )
            if _unrepeatable(event):
                words.append(
                    "It starts from its beginning next time, so undo them by hand or write them IF NOT "
                    "EXISTS."
                )
        else:
            words.append("Nothing of it stays.")
        default = "Correct the revision in the product and deploy that release."
        words.append(f"Next: {_NEXT.get(event['sqlstate'] or '', default)}")
        return " ".join(words)


def _unrepeatable(event: dict[str, Any]) -> bool:
    """Whether the revision committed what it could not do once more, so that it must not run again."""
    dropped: set[str] = set()
    for statement in event["committed"]:
        dropped.update(_DROPS.findall(statement))
        if not _REPEATABLE.search(statement) and not dropped.intersection(_CREATES.findall(statement)):
            return True
    return False


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
