"""Others who use the database at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from throwaway import Server

from product import Product, finish

BUILD = """\
with op.get_context().autocommit_block():
    op.execute('CREATE INDEX CONCURRENTLY by_name ON users (name)')
"""


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Polls; fails when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def waits_for_a_lock(server: Server) -> bool:
    """Whether the product's session waits."""
    return bool(
        server.rows(
            "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'",
            server.roles["migrator"],
        )
    )


def test_revision_that_met_a_lock_is_tried_again_and_succeeds(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD age integer")
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("SELECT * FROM users")
        process = product.start(retries=20)
        wait_for(lambda: waits_for_a_lock(server), "the migration to wait")
        wait_for(lambda: not waits_for_a_lock(server), "the migration to give up its place")
        blocker.rollback()
        result = finish(process)
    assert (result["after"], result["changed"]) == ("b2", True)
    assert result["retried"]
    assert all((one["revision"], one["sqlstate"]) == ("b2", "55P03") for one in result["retried"])


def test_lock_that_is_not_released_is_given_up_and_its_holder_named(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD age integer")
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("SET application_name = 'monthly report'")
        blocker.execute("SELECT * FROM users")
        result = product.run(retries=1)
        pid = blocker.info.backend_pid
    assert result["failed"]
    assert "(SQLSTATE 55P03)" in result["msg"]
    assert "Tried 2 times." in result["msg"]
    assert f"Blocked by pid {pid}, role {server.roles['app']}, application monthly report" in result["msg"]
    assert "Nothing of it stays. Next: End or wait for what holds the lock" in result["msg"]
    assert server.revision == ["a1"]


def test_concurrent_build_has_its_own_longer_limit(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", BUILD)
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("INSERT INTO users VALUES (1)")
        process = product.start(lock_timeout=1, retries=0)
        wait_for(lambda: waits_for_a_lock(server), "the build to wait")
        wait_for(
            lambda: server.rows(
                "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
                " AND now() - query_start > interval '1.5 s'",
                server.roles["migrator"],
            ),
            "the build to wait longer than lock_timeout",
        )
        blocker.rollback()
        result = finish(process)
    assert (result.get("msg"), result["after"], result["retried"]) == (None, "b2", [])


def test_stuck_concurrent_build_is_repeated_alone_without_its_remains(
    server: Server, product: Product
) -> None:
    """What the revision did before the build is committed, so it must not run a second time."""
    product.table("a1", "users")
    product.add("b2", "op.execute('CREATE TABLE once (id integer)')\n" + BUILD)
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("INSERT INTO users VALUES (1)")
        process = product.start(concurrently_lock_timeout=1, retries=20)
        wait_for(lambda: waits_for_a_lock(server), "the build to wait")
        wait_for(
            lambda: (
                server.rows("SELECT 1 FROM pg_index WHERE NOT indisvalid") and not waits_for_a_lock(server)
            ),
            "the build to fail",
        )
        blocker.rollback()
        result = finish(process)
    assert (result.get("msg"), result["after"]) == (None, "b2")
    assert result["invalid_indexes_dropped"][0] == "public.by_name"
    assert server.rows("SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'users'::regclass") == [
        (True,)
    ]


def test_concurrent_build_that_stays_stuck_leaves_no_invalid_index(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", BUILD)
    product.run(revision="a1")
    # A transaction that has a snapshot blocks the build; without a lock on the table it does not block the
    # drop.
    with server.connect("app") as blocker:
        blocker.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        blocker.execute("SELECT 1")
        result = product.run(concurrently_lock_timeout=1, retries=0)
        blocker.execute("ROLLBACK")
    assert "(SQLSTATE 55P03)" in result["msg"]
    assert server.rows("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


def test_product_that_resets_the_limit_gets_it_again(server: Server, product: Product) -> None:
    product.add(
        "a1",
        "op.execute(\"SET lock_timeout = '9min'\")\nop.execute('RESET lock_timeout')\n"
        "op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout')\")",
    )
    assert product.run().get("msg") is None
    assert server.rows("SELECT current_setting FROM seen") == [("1s",)]


def test_deadlock_victim_is_tried_again(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.table("a2", "jobs")
    product.add(
        "b2",
        """
        op.execute("LOCK TABLE users")
        seen = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        while not os.path.exists("seen") and not op.get_bind().execute(sa.text(seen)).first():
            pass
        open("seen", "w").close()
        op.execute("LOCK TABLE jobs")
        """,
    )
    product.run(revision="a2")
    # Only the migration looks for deadlocks in time, so it is always the victim.
    server.rows(f"ALTER ROLE {server.roles['migrator']} SET deadlock_timeout = '10ms'")
    with server.connect() as blocker:
        blocker.execute("SET deadlock_timeout = '1min'")
        blocker.autocommit = False
        blocker.execute("LOCK TABLE jobs")
        process = product.start(lock_timeout=30, retries=20)
        held = "SELECT 1 FROM pg_locks WHERE granted AND relation = 'users'::regclass"
        wait_for(lambda: server.rows(held), "the migration to lock users")
        blocker.execute("LOCK TABLE users")
        blocker.rollback()
        result = finish(process)
    assert (result.get("msg"), result["after"]) == (None, "b2")
    assert [one["sqlstate"] for one in result["retried"]] == ["40P01"]


def test_remains_that_cannot_be_dropped_are_told(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", BUILD)
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("INSERT INTO users VALUES (1)")
        result = product.run(concurrently_lock_timeout=1, retries=0)
        pid = blocker.info.backend_pid
    assert "the invalid index public.by_name could not be dropped for 1 s" in result["msg"]
    assert f"public.users is in use by pid {pid}" in result["msg"]
    assert product.run()["invalid_indexes_dropped"] == ["public.by_name"]


def test_second_migration_waits_and_finds_the_work_done(server: Server, product: Product) -> None:
    product.add("a1", "op.execute('CREATE TABLE users (id integer)')\nop.execute('SELECT pg_sleep(1)')")
    both = [product.start(advisory_lock_timeout=60), product.start(advisory_lock_timeout=60)]
    results = [finish(process) for process in both]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert [result["after"] for result in results] == ["a1", "a1"]


def test_two_migrations_that_build_concurrently_do_not_block_each_other(product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", BUILD)
    both = [product.start(advisory_lock_timeout=60), product.start(advisory_lock_timeout=60)]
    results = [finish(process) for process in both]
    assert [result.get("msg") for result in results] == [None, None]
    assert [result["after"] for result in results] == ["b2", "b2"]


def test_migration_that_waits_in_vain_names_the_running_one(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD age integer")
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("SELECT * FROM users")
        first = product.start(lock_timeout=60)
        wait_for(lambda: waits_for_a_lock(server), "the first migration to wait")
        second = product.run(advisory_lock_timeout=1)
        blocker.rollback()
        assert finish(first)["after"] == "b2"
    assert "another migration of this database is running: pid " in second["msg"]
    assert "application alembic module on " in second["msg"]
    assert "connected since " in second["msg"]


def test_killed_run_is_finished_by_the_next(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD age integer")
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("SELECT * FROM users")
        process = product.start(lock_timeout=300)
        wait_for(lambda: waits_for_a_lock(server), "the migration to wait")
        process.kill()
        process.communicate()
        assert waits_for_a_lock(server), "the server process outlives its client"
        blocker.rollback()
    result = product.run(advisory_lock_timeout=30)
    assert (result.get("msg"), result["after"]) == (None, "b2")


def test_statement_that_a_killed_run_left_is_ended(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD age integer")
    product.run(revision="a1")
    with server.connect("app") as blocker:
        blocker.autocommit = False
        blocker.execute("SELECT * FROM users")
        process = product.start(lock_timeout=300)
        wait_for(lambda: waits_for_a_lock(server), "the migration to wait")
        process.kill()
        process.communicate()
        result = product.run(lock_timeout=1, retries=0)
        assert len(result["leftovers_ended"]) == 1
        assert "ALTER TABLE users ADD age integer" in result["leftovers_ended"][0]
        blocker.rollback()


def test_index_that_someone_builds_right_now_is_left_alone(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run(revision="a1")
    with (
        server.connect("app") as blocker,
        psycopg.connect(dbname=server.database, autocommit=True) as builder,
        server.connect() as looker,
    ):
        blocker.autocommit = False
        blocker.execute("INSERT INTO users VALUES (1)")
        builder.pgconn.send_query(b"CREATE INDEX CONCURRENTLY by_name ON users (name)")
        wait_for(
            lambda: looker.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid").fetchall(), "the build"
        )
        result = product.run()
        blocker.rollback()
        wait_for(
            lambda: not looker.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid").fetchall(), "its end"
        )
        while builder.pgconn.get_result():
            pass
    assert "index public.by_name on public.users is invalid, or being built right now: pid " in result["msg"]
