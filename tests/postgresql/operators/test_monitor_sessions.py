"""monitor_db.py about sessions: each kind of trouble is made for real, and is gone when it is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from operator_commands import Database, Outcome, wait_until


def look(database: Database, check: str, *words: str) -> Outcome:
    return database.command("monitor_db.py", "--only", check, *words)


def pid(session: psycopg.Connection[object]) -> int:
    return session.info.backend_pid


def test_role_that_sees_only_itself_is_told_that_it_is_blind(
    database: Database, reader: dict[str, str]
) -> None:
    done = database.command("monitor_db.py", "--only", "rights", env=reader)
    assert done.status == 2
    assert "sees only its own sessions" in done.findings("rights", "critical")[0]


def test_role_of_pg_monitor_may_run_every_check(database: Database, reader: dict[str, str]) -> None:
    database.run("CREATE EXTENSION pg_stat_statements", f"GRANT pg_monitor TO {reader['PGUSER']}")
    done = database.command("monitor_db.py", env=reader)
    assert done.findings("rights", "ok")
    assert not [each for each in done.json["findings"] if "may not look" in each["message"]]


def test_connections_are_counted_against_those_that_are_allowed(database: Database) -> None:
    before = look(database, "connections").metric("database_connections")
    database.session()
    done = look(database, "connections")
    assert (done.status, done.metric("database_connections")) == (0, before + 1)


def test_connections_that_run_out_are_critical(second_server: Database) -> None:
    used = look(second_server, "connections").metric("database_connections")
    # The command's own session is the last one.
    sessions = [second_server.session() for _ in range(10 - int(used))]
    done = look(second_server, "connections")
    for session in sessions:
        session.close()
    assert done.status == 2
    assert done.findings("connections")[0].startswith("10 of 10 connections in use, 100 %")


@contextmanager
def transaction(database: Database) -> Iterator[int]:
    """An open transaction that has written something; its pid."""
    database.run("CREATE TABLE IF NOT EXISTS jobs (id int PRIMARY KEY)", "INSERT INTO jobs VALUES (1)")
    session = database.session(application_name="shop")
    session.execute("UPDATE jobs SET id = 1")
    yield pid(session)
    session.rollback()


def test_transaction_open_for_long_is_named_with_its_session(database: Database) -> None:
    with transaction(database) as holder:
        done = look(database, "long-transactions", "--long-transactions", "0,never")
    assert done.status == 1
    [message] = [each for each in done.findings("long-transactions") if f"pid {holder}," in each]
    assert "(shop)" in message
    assert "UPDATE jobs SET id = 1" in message


def test_young_transaction_is_well(database: Database) -> None:
    with transaction(database):
        assert look(database, "long-transactions").status == 0


def test_session_idle_in_its_transaction_is_named(database: Database) -> None:
    with transaction(database) as holder:
        done = look(database, "idle-in-transaction", "--idle-in-transaction", "never,0")
    assert done.status == 2
    assert any(f"pid {holder}," in each for each in done.findings("idle-in-transaction", "critical"))


def test_idle_session_without_a_transaction_is_well(database: Database) -> None:
    database.session(autocommit=True).execute("SELECT 1")
    done = look(database, "idle-in-transaction", "--idle-in-transaction", "0,never")
    assert (done.status, done.findings("idle-in-transaction")) == (0, ["no session is idle in a transaction"])


@contextmanager
def waiting(database: Database, statement: str) -> Iterator[int]:
    """A session that waits for a lock; its pid. It is cancelled at the end."""
    session = database.session(autocommit=True)

    def run() -> None:
        try:
            session.execute(statement.encode())
        except psycopg.errors.QueryCanceled:
            return

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(
        lambda: bool(
            database.value(
                f"SELECT count(*) FROM pg_locks WHERE pid = {pid(session)} AND waitstart IS NOT NULL"
            )
        ),
        "the lock",
    )
    yield pid(session)
    database.run(f"SELECT pg_cancel_backend({pid(session)})")
    thread.join()


def test_blocked_session_is_named_with_who_holds_it_up(database: Database) -> None:
    with transaction(database) as holder, waiting(database, "UPDATE jobs SET id = 2") as waiter:
        done = look(database, "blocked", "--blocked", "0,never")
    assert done.status == 1
    [message] = done.findings("blocked", "warning")
    assert message.startswith(f"pid {waiter} ")
    assert f"held up by pid {holder} " in message
    assert done.metric("database_blocked_sessions") == 1


def test_chain_of_waiting_leads_to_who_waits_for_nobody(database: Database) -> None:
    with (
        transaction(database) as holder,
        waiting(database, "ALTER TABLE jobs ADD x int"),
        waiting(database, "SELECT * FROM jobs") as last,
    ):
        done = look(database, "blocked", "--blocked", "0,never")
    [message] = [each for each in done.findings("blocked") if each.startswith(f"pid {last} ")]
    assert message.count("held up by pid") == 1
    assert f"held up by pid {holder} " in message


def test_short_wait_for_a_lock_is_well(database: Database) -> None:
    with transaction(database), waiting(database, "UPDATE jobs SET id = 2"):
        assert look(database, "blocked").status == 0


def test_nobody_blocked_is_well(database: Database) -> None:
    assert look(database, "blocked", "--blocked", "0,never").findings("blocked") == [
        "no session waits for a lock"
    ]


def test_prepared_transaction_that_nobody_finished_is_named(second_server: Database) -> None:
    second_server.run("CREATE TABLE orders (id int)")
    with second_server.session() as session:
        session.execute("INSERT INTO orders VALUES (1)")
        session.execute("PREPARE TRANSACTION 'order-7'")
    left = look(second_server, "prepared-transactions", "--prepared-transactions", "0,never")
    second_server.run("ROLLBACK PREPARED 'order-7'")
    after = look(second_server, "prepared-transactions", "--prepared-transactions", "0,never")
    assert left.status == 1
    assert "order-7 of postgres in postgres is prepared" in left.findings("prepared-transactions")[0]
    assert after.status == 0
