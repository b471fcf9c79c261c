"""A migration that is killed in the middle of any of its statements can simply be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
import sqlalchemy.exc

from harness.checksums import Checksum, Columns, checksums, columns
from harness.cluster import Cluster, Database
from harness.interruption import killed_in, normal
from harness.migrations import (
    current,
    dump,
    migrate,
    migrator,
    online_revisions,
    parent_of,
    rendered,
    upgrade,
)
from harness.sample import fill

# What only begins, ends, sets or looks changes nothing.
UNIMPORTANT = ("BEGIN", "COMMIT", "SET ", "RESET ", "DO ")
# Before an index is built; it finds one only after a run that was killed.
LEFTOVER = "DROP INDEX CONCURRENTLY IF EXISTS "


def statements(direction: str, revision: str) -> list[str]:
    """What the revision changes, as its rendered SQL has it."""
    span = {"upgrade": f"{parent_of(revision)}:{revision}", "downgrade": f"{revision}:{parent_of(revision)}"}
    unimportant = (*UNIMPORTANT, LEFTOVER) if direction == "upgrade" else UNIMPORTANT
    pieces = map(normal, rendered(direction, span[direction]).split(";\n\n"))
    return [each for each in pieces if each and not each.startswith(unimportant)]


KILLS = [
    (direction, revision, each)
    for direction in ("upgrade", "downgrade")
    for revision in online_revisions()
    for each in statements(direction, revision)
]


@dataclass(frozen=True)
class Prepared:
    """A revision's database before and after it, with rows; the columns that both have, and these rows."""

    before: Database
    after: Database
    held: Columns
    rows: dict[str, Checksum]
    schemas: dict[str, str]
    """The schema that each direction arrives at."""


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Iterator[Callable[[str], Prepared]]:
    """prepared(revision), made once for each."""
    made: list[Database] = []

    @cache
    def prepare(revision: str) -> Prepared:
        before = cluster.create()
        made.append(before)
        upgrade(before, parent_of(revision))
        fill(before)
        after = cluster.create(before)
        made.append(after)
        upgrade(after, revision)
        held = columns(before)
        schemas = {"upgrade": dump(after), "downgrade": dump(before)}
        return Prepared(before, after, held, checksums(before, held), schemas)

    yield prepare
    for database in made:
        cluster.drop(database)


@pytest.fixture
def copy_of(cluster: Cluster) -> Iterator[Callable[[Database], Database]]:
    """copy_of(database), gone after the test."""
    made: list[Database] = []

    def copy(database: Database) -> Database:
        made.append(cluster.create(database))
        return made[-1]

    yield copy
    for database in made:
        cluster.drop(database)


@pytest.mark.parametrize(
    ("direction", "revision", "statement"), KILLS, ids=[f"{way}-{r}-{each[:70]}" for way, r, each in KILLS]
)
def test_killed_migration_can_be_run_again(
    prepared: Callable[[str], Prepared],
    copy_of: Callable[[Database], Database],
    direction: str,
    revision: str,
    statement: str,
) -> None:
    expected = prepared(revision)
    ends = (parent_of(revision), revision)
    begin, target = ends if direction == "upgrade" else reversed(ends)
    database = copy_of(expected.before if direction == "upgrade" else expected.after)
    engine = migrator(database)
    with killed_in(engine, database, statement), pytest.raises(sqlalchemy.exc.SQLAlchemyError):
        migrate(engine, direction, target)
    assert current(database) == begin
    assert checksums(database, expected.held) == expected.rows
    migrate(engine, direction, target)
    assert (current(database), dump(database)) == (target, expected.schemas[direction])
    assert checksums(database, expected.held) == expected.rows


def test_an_index_is_left_half_built_by_a_kill(
    prepared: Callable[[str], Prepared], copy_of: Callable[[Database], Database]
) -> None:
    revision = "j1e4f8g7h6i5"
    database = copy_of(prepared(revision).before)
    engine = migrator(database)
    build = next(each for each in statements("upgrade", revision) if each.startswith("CREATE INDEX CONC"))
    with killed_in(engine, database, build), pytest.raises(sqlalchemy.exc.SQLAlchemyError):
        migrate(engine, "upgrade", revision)
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    assert database.rows(invalid) == [("idx_jobs_published_posted_at_id",)]
