"""A rehearsal of migrations on a clone: up, down, up again, each revision by itself, and what is measured of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.alembic_database import Database
from ansible.module_utils.alembic_process import AlembicProcess, render
from ansible.module_utils.alembic_runner import MigrationFailedError, Runner
from ansible.module_utils.database_url import DatabaseUrl
from ansible.module_utils.downgrade_losses import read_losses
from ansible.module_utils.lock_witness import MODES, SAMPLE_SECONDS, LockWitness, Sampler
from ansible.module_utils.revisions import Revision, RevisionGraph
from ansible.module_utils.schema_state import (
    Content,
    Relation,
    contents,
    differences,
    fingerprint,
    relations,
    rewritten,
    schema_diff,
    shortened,
    written,
)

# A server process adds its statistics to the others' when it ends, which is a moment after its client.
_LAST_WORDS_SECONDS = 30.0
_ALIVE = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
# As strong as that a statement of a migration changes something with it.
_CHANGING = frozenset(MODES[MODES.index("RowExclusiveLock") :])


@dataclass
class Rehearsal:
    """One rehearsal. `process` makes a process of the release: with a witness for the clone, without to render SQL."""

    database: Database
    watching: Database
    url: DatabaseUrl
    graph: RevisionGraph
    process: Callable[[LockWitness | None], AlembicProcess]
    version_table: str
    pg_dump: str
    retries: int
    index_lock_timeout: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    rows_before: dict[str, Content] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def run(self, current: tuple[str, ...], path: tuple[Revision, ...]) -> dict[str, Any]:
        """Up, down and up again. What fails is in the result, and ends it where going on would say nothing.

        Raises:
            SchemaError: the schema cannot be read.
        """
        self._render(current, path)
        self.rows_before, self.unreadable = contents(self.database.rows, besides=self.version_table)
        states = [self._fingerprint()]
        for revision, step in zip(path, self.steps, strict=True):
            step["up"] = self._run_one(revision, down=False)
            if step["up"]["failed"]:
                return self._result("up")
            states.append(self._fingerprint())
        undone = self._down(path, states)
        changed = self._changed_rows() if undone == len(path) else []
        for revision, step in list(zip(path, self.steps, strict=True))[len(path) - undone :]:
            step["again"] = self._run_one(revision, down=False)
            if step["again"]["failed"]:
                return self._result("again", undone, changed)
        again = shortened(schema_diff(states[-1], self._fingerprint()))
        return self._result("done", undone, changed, again)

    def _down(self, path: tuple[Revision, ...], states: list[list[str]]) -> int:
        """Undo one after the other, and compare with what was there before; how many were undone."""
        undone, known = 0, set[str]()
        for number in reversed(range(len(path))):
            step = self.steps[number]
            if path[number].irreversible:
                step["irreversible"] = True
                break
            step["down"] = self._run_one(path[number], down=True)
            if step["down"]["failed"]:
                break
            undone += 1
            # What a later migration left behind is its fault alone.
            left = schema_diff(states[number], self._fingerprint())
            step["not_restored"] = shortened([line for line in left if line not in known])
            known.update(left)
        return undone

    def _run_one(self, revision: Revision, *, down: bool) -> dict[str, Any]:
        """One revision in one direction, in a process of its own, so that all it counted is known when it is over."""
        before, counted = relations(self.database.rows), written(self.database.rows)
        witness, failed, began = LockWitness(), None, time.monotonic()
        with self.process(witness) as process, Sampler(witness, self.watching.rows):
            runner = Runner(
                database=self.database,
                process=process,
                graph=self.graph,
                version_table=self.version_table,
                retries=self.retries,
                delay=1,
                index_lock_timeout=self.index_lock_timeout,
                down=down,
            )
            try:
                runner.drop_invalid_indexes()
                began = time.monotonic()
                runner.run([revision])
            except MigrationFailedError as error:
                failed = _failure(error)
            ended = time.monotonic()
            witness.ends(ended)
        self._wait_for_statistics(witness)
        after = relations(self.database.rows)
        return {
            "seconds": round(runner.done[0]["seconds"] if runner.done else ended - began, 3),
            "locks": self._locks(witness, before),
            "rewritten": [{"table": one.name, "bytes": one.bytes} for one in rewritten(before, after)],
            "written": self._written(counted, before, after),
            "failed": failed,
        }

    def _written(
        self,
        counted: dict[int, tuple[int, int, int]],
        before: dict[int, Relation],
        after: dict[int, Relation],
    ) -> list[dict[str, Any]]:
        """Rows that were written, of each table but Alembic's."""
        found = []
        for oid, now in written(self.database.rows).items():
            table = (after.get(oid) or before.get(oid) or Relation("", "", None, 0)).name
            rows = [new - old for new, old in zip(now, counted.get(oid, (0, 0, 0)), strict=True)]
            if table and any(rows) and not self._is_version_table(table):
                found.append(
                    {"table": table, **dict(zip(("inserted", "updated", "deleted"), rows, strict=True))}
                )
        return sorted(found, key=lambda one: one["table"])

    def _locks(self, witness: LockWitness, before: dict[int, Relation]) -> list[dict[str, Any]]:
        """Locks on what was there before, the strongest first. Readers' are no news, nor Alembic's on its own table.

        What a statement does to an index by the way it does to its table; only a lock that keeps readers of the index
        away is told of itself.
        """
        found = []
        for (mode, oid), seconds in witness.longest.items():
            relation = before.get(oid)
            if relation is None or mode == MODES[0] or self._is_version_table(relation.name):
                continue
            if relation.kind == "i" and mode != MODES[-1]:
                continue
            found.append(
                {"relation": relation.name, "kind": relation.kind, "mode": mode, "seconds": round(seconds, 3)}
            )
        return sorted(found, key=lambda one: (-MODES.index(one["mode"]), -one["seconds"], one["relation"]))

    def _is_version_table(self, name: str) -> bool:
        return name.rpartition(".")[2] == self.version_table.rpartition(".")[2]

    def _wait_for_statistics(self, witness: LockWitness) -> None:
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self.database.value(_ALIVE, [list(witness.sessions)]) and time.monotonic() < deadline:
            time.sleep(0.02)
        # A session that has read them keeps what it has read.
        self.database.rows("SELECT pg_stat_clear_snapshot()")

    def _changed_rows(self) -> list[dict[str, Any]]:
        """Tables whose rows are not as before up and down, with the revisions that touched them."""
        found = []
        for table, what in differences(self.database.rows, self.rows_before).items():
            touched = [step["revision"] for step in self.steps if table in _touched(step)]
            found.append(
                {
                    "table": table,
                    "what": what,
                    "revisions": touched or [step["revision"] for step in self.steps],
                }
            )
        return found

    def _render(self, current: tuple[str, ...], path: tuple[Revision, ...]) -> None:
        """The SQL of each revision in both directions, from which squawk and the report read what it does."""
        applied = set(self.graph.closure(current))
        with self.process(None) as process:
            for revision in path:
                before = self.graph.tips(applied)
                applied.add(revision.id)
                up, not_up = render(process, self.graph, before, [revision])
                down, not_down = "", []
                if not revision.irreversible:
                    down, not_down = render(
                        process, self.graph, self.graph.tips(applied), [revision], down=True
                    )
                losses = read_losses(down)
                self.steps.append(
                    {
                        "revision": revision.id,
                        "message": revision.message,
                        "up": None,
                        "down": None,
                        "again": None,
                        "irreversible": False,
                        "not_restored": [],
                        "sql": "" if not_up else up,
                        "not_renderable": bool(not_up),
                        # None: it depends on the data, so nobody can read it from here.
                        "drops": None
                        if not_down
                        else {
                            "tables": sorted(losses.tables - {self.version_table}),
                            "columns": {
                                table: sorted(names) for table, names in sorted(losses.columns.items())
                            },
                        },
                    }
                )

    def _fingerprint(self) -> list[str]:
        lines: list[str] = fingerprint(self.url, self.pg_dump, besides=self.version_table)
        return lines

    def _result(
        self,
        ended: str,
        undone: int = 0,
        changed: list[dict[str, Any]] | None = None,
        again: list[str] | None = None,
    ) -> dict[str, Any]:
        return {
            "ended": ended,
            "revisions": self.steps,
            "undone": undone,
            "rows": {
                "tables": len(self.rows_before),
                "rows": sum(one.rows for one in self.rows_before.values()),
                "unreadable": self.unreadable,
                "compared": ended in ("again", "done") and undone == len(self.steps),
                "changed": changed or [],
            },
            "again_differs": again or [],
            "resolution_seconds": SAMPLE_SECONDS,
        }


def _failure(error: MigrationFailedError) -> dict[str, Any]:
    """`said` is for the terminal; the rest for the report, since PostgreSQL's own words may have rows in them."""
    event = error.event
    return {
        "said": str(error),
        "sqlstate": event.get("sqlstate") or "",
        "kind": event.get("kind") or "the product's process ended",
        "location": event.get("location") or "",
    }


def _touched(step: dict[str, Any]) -> set[str]:
    """Tables that a revision may have changed rows of, in either direction."""
    runs = [run for run in (step["up"], step["down"]) if run]
    locked = {lock["relation"] for run in runs for lock in run["locks"] if lock["mode"] in _CHANGING}
    return locked | {one["table"] for run in runs for one in run["written"] + run["rewritten"]}
