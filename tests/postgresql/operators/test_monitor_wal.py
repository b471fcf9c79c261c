"""monitor_db.py about WAL: an archive that fails and recovers, WAL that is kept, on a server that archives."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from operator_commands import Database, Outcome, wait_until


def look(database: Database, check: str, *words: str) -> Outcome:
    return database.command("monitor_db.py", "--only", check, *words)


@pytest.fixture
def settings(second_server: Database) -> Iterator[Database]:
    """The server, whose settings are as they were afterwards."""
    yield second_server
    second_server.run("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


def set_and_reload(server: Database, name: str, value: str) -> None:
    server.run(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")
    wait_until(lambda: server.value(f"SELECT setting FROM pg_settings WHERE name = '{name}'") == value, name)


def write_and_switch(server: Database) -> None:
    """A full WAL file."""
    server.run("CREATE TABLE IF NOT EXISTS t (id int)", "INSERT INTO t VALUES (1)", "SELECT pg_switch_wal()")


def test_server_that_does_not_archive_is_warned_of(database: Database) -> None:
    done = look(database, "archiver")
    assert (done.status, "archive_mode is off" in done.findings("archiver")[0]) == (1, True)


def test_archive_that_succeeds_is_well(settings: Database) -> None:
    before = settings.value("SELECT archived_count FROM pg_stat_archiver")
    write_and_switch(settings)
    wait_until(
        lambda: settings.value("SELECT archived_count FROM pg_stat_archiver") > before, "the archived file"
    )
    done = look(settings, "archiver")
    assert done.status == 0
    assert done.findings("archiver")[0].startswith("no WAL file waits; archived: the last ")


def test_archive_that_fails_is_found_with_what_waits_and_recovers(settings: Database) -> None:
    failures = settings.value("SELECT failed_count FROM pg_stat_archiver")
    set_and_reload(settings, "archive_command", "false")
    write_and_switch(settings)
    wait_until(lambda: settings.value("SELECT failed_count FROM pg_stat_archiver") > failures, "a failure")
    young = look(settings, "archiver")
    old = look(settings, "archiver", "--archiver", "never,0")
    set_and_reload(settings, "archive_command", "true")
    wait_until(
        lambda: settings.value("SELECT last_archived_time > last_failed_time FROM pg_stat_archiver"),
        "the archive",
    )
    assert (young.status, old.status) == (1, 2)
    assert young.findings("archiver")[0].startswith("archiving fails since ")
    assert young.metric("database_wal_waiting_files") >= 1
    assert look(settings, "archiver").status == 0


def test_wal_that_waits_without_a_failure_is_found_too(settings: Database) -> None:
    # An empty command is no failure: WAL is kept, and nobody says a word.
    set_and_reload(settings, "archive_command", "")
    write_and_switch(settings)
    wait_until(
        lambda: (
            settings.value("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'") > 0
        ),
        "a file that waits",
    )
    done = look(settings, "archiver", "--archiver", "0,never")
    assert done.status == 1
    assert "WAL files wait, the oldest for" in done.findings("archiver")[0]


def test_quiet_hours_without_archive_timeout_are_warned_of(settings: Database) -> None:
    set_and_reload(settings, "archive_timeout", "0")
    done = look(settings, "archiver", "--archiver", "never,never")
    assert done.status == 1
    assert "archive_timeout is 0" in done.findings("archiver", "warning")[0]


def test_size_of_the_wal_is_judged_against_what_is_meant(settings: Database) -> None:
    def size() -> float:
        return float(settings.value("SELECT sum(size) FROM pg_ls_waldir()"))

    sizes: list[float] = []
    looks: list[Outcome] = []

    # The checkpointer may add or remove a file at any moment: then a look says nothing.
    def undisturbed() -> bool:
        sizes.append(size())
        looks.append(look(settings, "wal", "--wal", "1,never"))
        return sizes[-1] == size()

    wait_until(undisturbed, "a look while no file came or went")
    assert looks[-1].status == 1
    assert looks[-1].metric("database_wal_size_bytes") == sizes[-1]
    assert look(settings, "wal", "--wal", "100000,never").status == 0


@pytest.fixture
def slot(settings: Database) -> Iterator[str]:
    """A slot that nobody reads from."""
    settings.run("SELECT pg_create_physical_replication_slot('gone', true)")
    yield "gone"
    settings.run("SELECT pg_drop_replication_slot('gone')")


def test_no_slot_is_well(settings: Database) -> None:
    assert look(settings, "slots", "--slots", "0,never").findings("slots") == ["there is no replication slot"]


def test_slot_that_keeps_much_is_named(settings: Database, slot: str) -> None:
    write_and_switch(settings)
    done = look(settings, "slots", "--slots", "1MB,never")
    assert done.status == 1
    assert done.metric("database_slot_kept_bytes", slot=slot) > 1024 * 1024
    assert "nobody is connected" in done.findings("slots")[0]


def test_slot_that_keeps_little_is_well(settings: Database, slot: str) -> None:
    assert look(settings, "slots").status == 0


def test_slot_that_lost_what_it_kept_is_critical(settings: Database, slot: str) -> None:
    set_and_reload(settings, "max_slot_wal_keep_size", "1")
    for _ in range(4):
        write_and_switch(settings)
    with psycopg.connect(**settings.words, autocommit=True) as session:
        session.execute("CHECKPOINT")
    done = look(settings, "slots", "--slots", "never,never")
    assert done.status == 2
    assert "has lost WAL" in done.findings("slots")[0]
