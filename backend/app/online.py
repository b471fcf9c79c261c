"""Changes to tables in use, for migrations: without a lock that the application would wait for.

Each step can be run again after a run that was killed in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alembic import op

# Building concurrently waits for every older transaction, so it needs longer than the few seconds that a
# migration otherwise may wait for a lock, and for a large table longer than a statement otherwise may take.
BUILD_LIMITS = {"lock_timeout": "10min", "statement_timeout": "60min"}
# How many rows a refusal names.
NAMED_ROWS = 20


@dataclass(frozen=True)
class OnlineIndex:
    """An index that is built and dropped while its table is in use."""

    name: str
    table: str
    definition: str
    """What follows the table's name in CREATE INDEX, as SQL."""
    unique: bool = False

    def create_statements(self) -> tuple[str, str]:
        """Drop what a failed build of this name left (it stays, invalid), then build."""
        unique = "UNIQUE " if self.unique else ""
        return (
            f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}",
            f"CREATE {unique}INDEX CONCURRENTLY {self.name} ON {self.table} {self.definition}",
        )


def create_indexes(indexes: Iterable[OnlineIndex]) -> None:
    """Build `indexes` one after the other, outside of any transaction."""
    _outside_a_transaction(sql for index in indexes for sql in index.create_statements())


def drop_indexes(indexes: Iterable[OnlineIndex]) -> None:
    """Drop `indexes`, the last first, outside of any transaction."""
    _outside_a_transaction(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}" for index in reversed([*indexes])
    )


def one_at_a_time(statements: Iterable[str]) -> None:
    """Run each statement in a transaction of its own, with the lock timeout of the migrator's role.

    For those that keep everybody out of a table for an instant: with two such locks in one transaction, the
    first table would be closed while the second is waited for, and the application's transactions, which take
    them in another order, would end in deadlocks.
    """
    with op.get_context().autocommit_block():
        for statement in statements:
            op.execute(statement)


def add_check(name: str, table: str, condition: str) -> None:
    """Add a check constraint: for new rows at once, then validate the old ones while the table is in use."""
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    _outside_a_transaction([f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"])


def drop_check(name: str, table: str) -> None:
    """Drop a check constraint, in a transaction of its own; no error when a killed run dropped it already."""
    one_at_a_time([f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"])


def refuse_rows(problem: str, offending: str, remedy: str) -> None:
    """End the migration when there are rows that its rule would not allow.

    The check is SQL, so it is in a rendered script too.

    Args:
        problem: what is wrong with the rows, as the start of a sentence.
        offending: a SELECT with one text column, `offender`, that names each offending row or group of rows.
        remedy: what to do.

    Raises:
        psycopg.errors.RaiseException: when the migration runs, with the number of rows, the first
            `NAMED_ROWS` of them and the remedy.
    """
    # S608: all parts are literals of a migration.
    op.execute(
        f"""DO $refuse$
DECLARE
    found bigint;
    named text;
BEGIN
    SELECT count(*), string_agg(offender, E'\\n  ' ORDER BY n) FILTER (WHERE n <= {NAMED_ROWS})
    INTO found, named
    FROM (SELECT offender, row_number() OVER () AS n FROM ({offending}) AS offending) AS numbered;
    IF found > 0 THEN
        RAISE EXCEPTION USING
            MESSAGE = {_quoted(problem)} || ': ' || found || CASE WHEN found > {NAMED_ROWS}
                THEN ', the first {NAMED_ROWS} of them' ELSE '' END || E'\\n  ' || named,
            HINT = {_quoted(remedy)};
    END IF;
END
$refuse$"""  # noqa: S608
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _outside_a_transaction(statements: Iterable[str]) -> None:
    with op.get_context().autocommit_block():
        for setting, limit in BUILD_LIMITS.items():
            op.execute(f"SET {setting} = '{limit}'")
        for statement in statements:
            op.execute(statement)
        for setting in BUILD_LIMITS:
            op.execute(f"RESET {setting}")
