"""Taking away what breaks a rule, where a stated rule says what stays; what changes is saved before."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import psycopg
from psycopg import sql

from app.data_check.checks import Check, Columns, checks
from app.data_check.find import ask, read_columns
from app.models import Base

# Rows of one statement: each stays far below the time that the application's role has for one.
AT_ONCE = 1_000

REJECT = """
UPDATE job_applications SET status = 'rejected', updated_at = now(),
    notes = concat_ws(E'\\n', notes, 'Rejected by check-data: application ' || %s || ' stays.')
WHERE id = ANY(%s)
"""


class Reference(NamedTuple):
    """A foreign key of the models that names rows of a table."""

    table: str
    column: str
    follows: bool
    """Whether the row goes with the one that it names; otherwise the column is emptied."""


class Cleaner:
    """Cleans within the transaction of `connection` and writes every row, as it was, to `file` first.

    Attributes:
        done: number of rows that were deleted, emptied or rejected, by table and what was done.
    """

    def __init__(self, connection: psycopg.Connection[Any], file: TextIO) -> None:
        self.done: Counter[str] = Counter()
        self._connection, self._file = connection, file
        self._columns: Columns = {}

    def run(self) -> None:
        """Do for each check what its rule says."""
        self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._columns = read_columns(self._connection)
        for check in checks(self._columns):
            if check.action:
                self._clean(check)

    def _clean(self, check: Check) -> None:
        for problem in ask(self._connection, check):
            what, _, column = check.action.partition(" ")
            if what == "empty":
                self._empty(check.table, column, problem.ids)
            elif what == "delete":
                self._delete(check.table, problem.ids)
            elif check.table == "job_applications":
                kept, *others = problem.ids
                self._save("job_applications", others, "reject")
                self._connection.execute(REJECT, (str(kept), others))
            else:
                self._delete(check.table, problem.ids[1:])

    def _delete(self, table: str, ids: list[int]) -> None:
        """Delete rows after those that belong to them, so that those are saved too, foreign keys or not."""
        for some in _slices(ids):
            for reference in self._references(table):
                belonging = self._belonging(reference, some)
                if reference.follows:
                    self._delete(reference.table, belonging)
                else:
                    self._empty(reference.table, reference.column, belonging)
            self._save(table, some, "delete")
            self._connection.execute(
                sql.SQL("DELETE FROM {} WHERE id = ANY(%s)").format(sql.Identifier(table)), (some,)
            )

    def _empty(self, table: str, column: str, ids: list[int]) -> None:
        for some in _slices(ids):
            self._save(table, some, f"empty {column}")
            self._connection.execute(
                sql.SQL("UPDATE {} SET {} = NULL WHERE id = ANY(%s)").format(
                    sql.Identifier(table), sql.Identifier(column)
                ),
                (some,),
            )

    def _references(self, table: str) -> Iterator[Reference]:
        """Where rows of `table` are named, as far as the database has it."""
        for child in Base.metadata.sorted_tables:
            for key in child.foreign_keys:
                there = {"id", key.parent.name} <= self._columns.get(child.name, frozenset())
                if there and key.column.table.name == table:
                    yield Reference(child.name, key.parent.name, key.ondelete == "CASCADE")

    def _belonging(self, reference: Reference, ids: list[int]) -> list[int]:
        rows = self._connection.execute(
            sql.SQL("SELECT id FROM {} WHERE {} = ANY(%s) ORDER BY id").format(
                sql.Identifier(reference.table), sql.Identifier(reference.column)
            ),
            (ids,),
        )
        return [number for (number,) in rows]

    def _save(self, table: str, ids: list[int], action: str) -> None:
        rows = self._connection.execute(
            sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE id = ANY(%s) ORDER BY id").format(
                sql.Identifier(table)
            ),
            (ids,),
        )
        for (row,) in rows:
            begin = ",\n" if self.done else "[\n"
            self._file.write(begin + json.dumps({"table": table, "action": action, "row": row}))
            self.done[f"{table}: {action}"] += 1

    def finish(self) -> None:
        """End the file and have it on the disk."""
        self._file.write("\n]\n" if self.done else "[]\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def clean(connection: psycopg.Connection[Any], saved_to: Path) -> Counter[str]:
    """Clean in one transaction. It is committed when all that it changes is in `saved_to`, mode 0600.

    Returns:
        The number of rows by table and what was done with them.

    Raises:
        FileExistsError: the file is there already.
        OSError: it cannot be written; nothing was changed.
        psycopg.Error: the database refused; nothing was changed, and the file is gone.
    """
    with os.fdopen(os.open(saved_to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        cleaner = Cleaner(connection, file)
        try:
            cleaner.run()
            cleaner.finish()
        except BaseException:
            connection.rollback()
            saved_to.unlink()
            raise
        connection.commit()
    return cleaner.done


def _slices(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
