"""What a rehearsal measures: locks and rewrites that really are, and ways back that lead elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from throwaway import Server

from product import Product

SECRET = "ada@example.com"


@pytest.fixture
def live(server: Server, product: Product) -> Product:
    """A product whose database is at a1, with a few rows."""
    product.table("a1", "users")
    product.run()
    server.rows(f"INSERT INTO users SELECT i, '{SECRET}' FROM generate_series(1, 1000) i")
    return product


def only(result: dict[str, Any]) -> dict[str, Any]:
    """What was measured of the one migration."""
    assert "revisions" in result, result
    (step,) = result["revisions"]
    found: dict[str, Any] = step
    return found


def strongest(run: dict[str, Any]) -> tuple[str, str, float]:
    """The strongest lock of a migration: on what, which, how long (s)."""
    lock = run["locks"][0]
    return lock["relation"], lock["mode"], lock["seconds"]


def test_migration_that_can_be_undone_is_run_up_down_and_up_again(server: Server, live: Product) -> None:
    live.add("b2", "ALTER TABLE users ADD COLUMN email text", "ALTER TABLE users DROP COLUMN email")
    result = live.rehearse("a1")
    step = only(result)
    assert (result["ended"], result["before"], result["after"]) == ("done", "a1", "b2")
    assert [step[way]["failed"] for way in ("up", "down", "again")] == [None, None, None]
    assert (step["not_restored"], result["rows"]["changed"], result["again_differs"]) == ([], [], [])
    assert step["drops"] == {"tables": [], "columns": {"users": ["email"]}}
    assert server.revision == ["b2"]


def test_rewrite_of_a_table_is_seen_with_its_size_and_its_lock(server: Server, live: Product) -> None:
    live.add(
        "b2",
        "ALTER TABLE users ALTER COLUMN id TYPE bigint",
        "ALTER TABLE users ALTER COLUMN id TYPE integer",
    )
    [(size,)] = server.rows("SELECT pg_relation_size('users')")
    step = only(live.rehearse("a1"))
    assert step["up"]["rewritten"] == [{"table": "public.users", "bytes": size}]
    assert strongest(step["up"])[:2] == ("public.users", "AccessExclusiveLock")
    assert [one["table"] for one in step["down"]["rewritten"]] == ["public.users"]


def test_change_of_the_catalog_alone_is_no_rewrite(live: Product) -> None:
    live.add("b2", "ALTER TABLE users ADD COLUMN email text", "ALTER TABLE users DROP COLUMN email")
    step = only(live.rehearse("a1"))
    assert step["up"]["rewritten"] == []


def test_lock_is_held_until_the_commit(live: Product) -> None:
    live.add(
        "b2",
        'op.execute("ALTER TABLE users ADD COLUMN email text")\nop.execute("SELECT pg_sleep(0.4)")',
        "ALTER TABLE users DROP COLUMN email",
    )
    relation, mode, seconds = strongest(only(live.rehearse("a1"))["up"])
    assert (relation, mode) == ("public.users", "AccessExclusiveLock")
    assert seconds >= 0.4


def test_lock_past_sqlalchemy_is_seen_at_the_commit(live: Product) -> None:
    live.add(
        "b2",
        'op.get_bind().connection.cursor().execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")',
        "SELECT 1",
    )
    step = only(live.rehearse("a1"))
    assert strongest(step["up"])[:2] == ("public.users", "ShareRowExclusiveLock")


def test_lock_of_a_statement_that_commits_by_itself_is_sampled(server: Server, live: Product) -> None:
    server.rows(
        "CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(0.3); RETURN i; END'"
    )
    server.rows("DELETE FROM users WHERE id > 1")
    by_itself = "with op.get_context().autocommit_block():\n    "
    live.add(
        "b2",
        by_itself + 'op.execute("CREATE INDEX CONCURRENTLY on_id ON users (slow(id))")',
        by_itself + 'op.execute("DROP INDEX CONCURRENTLY on_id")',
    )
    result = live.rehearse("a1")
    relation, mode, seconds = strongest(only(result)["up"])
    assert (relation, mode) == ("public.users", "ShareUpdateExclusiveLock")
    # The first and the last look are up to two intervals within.
    assert seconds >= 0.3 - 5 * result["resolution_seconds"]


def test_rows_that_a_migration_writes_are_counted(live: Product) -> None:
    live.add("b2", "UPDATE users SET name = name WHERE id <= 10", "SELECT 1")
    step = only(live.rehearse("a1"))
    assert step["up"]["written"] == [{"table": "public.users", "inserted": 0, "updated": 10, "deleted": 0}]


def test_values_that_do_not_come_back_are_found_with_the_migration_that_lost_them(live: Product) -> None:
    live.table("b2", "jobs")
    live.add("c3", "ALTER TABLE users DROP COLUMN name", "ALTER TABLE users ADD COLUMN name text")
    result = live.rehearse("a1")
    [changed] = result["rows"]["changed"]
    assert (changed["table"], changed["revisions"]) == ("public.users", ["c3"])
    assert changed["what"] == "has other values in its 1,000 rows than before"
    assert [one["not_restored"] for one in result["revisions"]] == [[], []]


def test_rows_in_another_order_are_the_same_rows(live: Product) -> None:
    live.add(
        "b2",
        "UPDATE users SET name = 'x' || name WHERE id < 500",
        "UPDATE users SET name = substr(name, 2) WHERE id < 500",
    )
    assert live.rehearse("a1")["rows"]["changed"] == []


def test_downgrade_that_does_nothing_leaves_the_schema_and_is_named(live: Product) -> None:
    live.table("b2", "jobs")
    live.add("c3", "ALTER TABLE users ADD COLUMN email text", "pass")
    result = live.rehearse("a1")
    first, second = result["revisions"]
    assert first["not_restored"] == []
    assert any("email text" in line for line in second["not_restored"])
    assert (result["ended"], second["again"]["failed"]["sqlstate"]) == ("again", "42701")


def test_downgrade_that_loses_a_default_is_found(server: Server, live: Product) -> None:
    server.rows("ALTER TABLE users ALTER COLUMN name SET DEFAULT 'nobody'")
    live.add(
        "b2",
        "ALTER TABLE users ALTER COLUMN name DROP DEFAULT",
        "SELECT 1",
    )
    step = only(live.rehearse("a1"))
    assert any(line.startswith("-") and "DEFAULT 'nobody'" in line for line in step["not_restored"])


def test_migration_without_a_way_back_ends_the_way_down(server: Server, live: Product) -> None:
    live.add("b2", "ALTER TABLE users ADD COLUMN email text", "raise NotImplementedError('no way back')")
    result = live.rehearse("a1")
    step = only(result)
    assert (step["irreversible"], step["down"], result["undone"]) == (True, None, 0)
    assert result["rows"]["compared"] is False
    assert server.revision == ["b2"]


def test_migration_that_fails_is_told_in_the_report_without_a_row(live: Product) -> None:
    live.add(
        "b2",
        "ALTER TABLE users ADD CONSTRAINT one_name UNIQUE (name)",
        "ALTER TABLE users DROP CONSTRAINT one_name",
    )
    result = live.rehearse("a1")
    failed = only(result)["up"]["failed"]
    assert (result["ended"], failed["sqlstate"]) == ("up", "23505")
    assert SECRET in failed.pop("said")
    result.pop("everything_written")
    assert SECRET not in json.dumps(result)


def test_clone_that_is_older_than_the_live_database_is_refused(live: Product) -> None:
    live.table("b2", "jobs")
    result = live.rehearse("b2")
    assert "the clone stands at a1, and the live database at b2" in result["msg"]


def test_nothing_to_migrate_is_nothing_to_measure(live: Product) -> None:
    result = live.rehearse("a1")
    assert (result["ended"], result["revisions"]) == ("done", [])
