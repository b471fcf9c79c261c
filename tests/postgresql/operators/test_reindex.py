"""reindex.py: bloat goes away while writes go on, and nothing is left, however it ends."""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import Any

import psycopg
import pytest
from operator_commands import Database, Outcome, outcome, samples, wait_until

# Every tenth row stays, so that no page of the index becomes empty.
BLOATED = (
    "CREATE EXTENSION pgstattuple",
    "CREATE TABLE events (id int PRIMARY KEY, note text) WITH (autovacuum_enabled = off)",
    "INSERT INTO events SELECT n, n FROM generate_series(1, 20000) n",
    "CREATE INDEX events_note ON events (note)",
    "DELETE FROM events WHERE id % 10 > 0",
    "VACUUM ANALYZE events",
)
# What makes a test's small indexes count, and no test wait.
SMALL = ("--bloat-size", "8kB", "--backoff", "0")
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
FILE_OF_NOTE = "SELECT relfilenode FROM pg_class WHERE relname = 'events_note'"
Connection = psycopg.Connection[Any]


def start(database: Database, *words: str, form: str = "json") -> subprocess.Popen[str]:
    """Through the socket, where the command sees the disk on which it is to leave room."""
    sockets = str(database.value("SHOW unix_socket_directories")).split(",")[0]
    return database.start("reindex.py", "--host", sockets, *SMALL, *words, form=form)


def reindex(database: Database, *words: str, form: str = "json") -> Outcome:
    return outcome(start(database, *words, form=form))


def rows(done: Outcome) -> dict[str, dict[str, Any]]:
    """The table of indexes, by name."""
    return {each["index"].removeprefix("public."): each for each in done.json["tables"]["Indexes"]}


def said(done: Outcome) -> str:
    return "\n".join(each["message"] for each in done.json["findings"])


@pytest.fixture
def bloated(database: Database) -> Database:
    """A database whose two indexes are bloated."""
    database.run(*BLOATED)
    return database


@pytest.fixture
def old_snapshot(bloated: Database) -> Connection:
    """A transaction that REINDEX CONCURRENTLY has to wait for, though it never touched the table."""
    session = bloated.session(application_name="long-report")
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.execute("SELECT 1")
    return session


def wait_for_middle(database: Database, name: str = "events_note_ccnew") -> None:
    wait_until(
        lambda: bool(
            database.value(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reindex' AND query LIKE 'REINDEX%'"
                f" AND wait_event_type = 'Lock' AND datname = current_database() AND to_regclass('{name}') IS NOT NULL"
            )
        ),
        "the rebuild in its middle",
    )


def leave_leftover(database: Database, index: str) -> None:
    """As in life: a REINDEX CONCURRENTLY that gave up waiting for the old snapshot."""
    with database.session(autocommit=True) as session:
        session.execute("SET lock_timeout = '10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            session.execute(f"REINDEX INDEX CONCURRENTLY {index}".encode())


def test_bloated_indexes_are_rebuilt_and_measured_before_and_after(bloated: Database) -> None:
    done = reindex(bloated)
    assert done.status == 0
    assert set(rows(done)) == {"events_note", "events_pkey"}
    for found in rows(done).values():
        assert (found["outcome"], found["by"]) == ("rebuilt", "pgstattuple")
        assert found["size after"] * 3 < found["size"]
        assert found["bloat % after"] < 15 < 80 < found["bloat %"]
    assert rows(done)["events_note"]["size after"] == bloated.value("SELECT pg_relation_size('events_note')")


def test_second_run_has_nothing_to_do(bloated: Database) -> None:
    reindex(bloated)
    done = reindex(bloated)
    assert (done.status, rows(done)) == (0, {})
    assert "nothing to rebuild" in said(done)


def test_dry_run_says_what_it_would_do_and_does_nothing(bloated: Database) -> None:
    before = bloated.value(FILE_OF_NOTE)
    done = reindex(bloated, "--dry-run")
    assert done.status == 0
    assert rows(done)["events_note"]["outcome"] == "would be rebuilt"
    assert bloated.value(FILE_OF_NOTE) == before


def test_index_below_the_threshold_is_left_alone(bloated: Database) -> None:
    before = bloated.value(FILE_OF_NOTE)
    assert reindex(bloated, "--bloat", "99").status == 0
    assert bloated.value(FILE_OF_NOTE) == before


def test_small_index_is_left_alone(bloated: Database) -> None:
    assert rows(reindex(bloated, "--bloat-size", "1GB")) == {}


def test_named_index_alone_is_rebuilt_whatever_its_bloat(bloated: Database) -> None:
    bloated.run("REINDEX TABLE events")
    done = reindex(bloated, "--index", "public.events_note")
    assert {name: row["outcome"] for name, row in rows(done).items()} == {"events_note": "rebuilt"}


def test_named_table_has_all_its_indexes_rebuilt(bloated: Database) -> None:
    assert set(rows(reindex(bloated, "--table", "events"))) == {"events_note", "events_pkey"}


def test_without_pgstattuple_bloat_is_estimated_and_the_output_says_so(bloated: Database) -> None:
    bloated.run("DROP EXTENSION pgstattuple")
    found = rows(reindex(bloated))["events_pkey"]
    assert (found["by"], found["outcome"]) == ("estimate", "rebuilt")


def test_toast_index_can_be_rebuilt(database: Database) -> None:
    database.run("CREATE TABLE letters (id int, body text)")
    name = database.value(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class t ON t.reltoastrelid = indrelid"
        " WHERE t.relname = 'letters'"
    )
    assert rows(reindex(database, "--index", name))[name]["outcome"] == "rebuilt"


def test_writes_go_on_during_a_rebuild_and_are_in_the_new_index(
    bloated: Database, old_snapshot: Connection
) -> None:
    process = start(bloated, "--index", "events_note")
    wait_for_middle(bloated)
    writer = bloated.session(autocommit=True)
    writer.execute("SET lock_timeout = '1s'")
    for number in range(100_001, 100_101):
        writer.execute("INSERT INTO events VALUES (%s, 'written meanwhile')", [number])
    writer.execute("UPDATE events SET note = 'changed meanwhile' WHERE id <= 100")
    assert process.poll() is None
    old_snapshot.rollback()
    assert rows(outcome(process))["events_note"]["outcome"] == "rebuilt"
    bloated.run("CREATE EXTENSION amcheck", "SELECT bt_index_check('events_note', true)")


def test_writer_at_full_speed_loses_nothing(bloated: Database) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        session = bloated.session(autocommit=True)
        while not stop.is_set():
            session.execute("INSERT INTO events VALUES (%s, 'x')", [1_000_000 + len(written)])
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(written) > 10, "the writer")
    done = reindex(bloated)
    stop.set()
    writer.join()
    assert done.status == 0
    assert bloated.value("SELECT count(*) FROM events WHERE id >= 1000000") == len(written)
    bloated.run("CREATE EXTENSION amcheck", "SELECT bt_index_check('events_pkey', true)")


def test_second_run_at_the_same_time_is_refused_with_who_is_at_work(
    bloated: Database, old_snapshot: Connection
) -> None:
    first = start(bloated, "--index", "events_note")
    wait_for_middle(bloated)
    at_work = bloated.value("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
    second = reindex(bloated)
    old_snapshot.rollback()
    assert outcome(first).status == 0
    assert second.status == 2
    assert f"another reindex runs in {bloated.name} (pid {at_work} of postgres" in said(second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_leaves_nothing_and_the_index_as_it_was(
    bloated: Database, old_snapshot: Connection, number: signal.Signals
) -> None:
    before = bloated.value(FILE_OF_NOTE)
    process = start(bloated, "--index", "events_note")
    wait_for_middle(bloated)
    process.send_signal(number)
    done = outcome(process)
    assert done.status == 2
    assert f"stopped by {number.name}" in said(done)
    assert (bloated.value(INVALID), bloated.value(FILE_OF_NOTE)) == (0, before)


def test_run_after_an_interrupted_one_finishes_the_work(bloated: Database, old_snapshot: Connection) -> None:
    process = start(bloated)
    wait_for_middle(bloated, "events_note_ccnew")
    process.terminate()
    assert rows(outcome(process))["events_pkey"]["outcome"] == "not begun"
    old_snapshot.rollback()
    done = reindex(bloated)
    assert {row["outcome"] for row in rows(done).values()} == {"rebuilt"}


def test_run_after_a_killed_one_removes_what_it_left_and_finishes_the_work(
    bloated: Database, old_snapshot: Connection
) -> None:
    process = start(bloated, "--index", "events_note")
    wait_for_middle(bloated)
    process.kill()
    process.communicate()
    # The server sees within seconds that nobody listens, and frees the lock of the run.
    wait_until(
        lambda: bloated.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0,
        "the server to notice that the command is gone",
    )
    left = bloated.value(INVALID)
    old_snapshot.rollback()
    done = reindex(bloated)
    assert (left, done.status, bloated.value(INVALID)) == (1, 0, 0)
    assert "public.events_note_ccnew: left by a rebuild that was killed, dropped" in done.errors
    assert rows(done)["events_note"]["outcome"] == "rebuilt"


def test_dry_run_names_a_leftover_and_keeps_it(bloated: Database, old_snapshot: Connection) -> None:
    leave_leftover(bloated, "events_note")
    done = reindex(bloated, "--dry-run")
    assert "would be dropped: a rebuild of public.events_note was killed" in said(done)
    assert bloated.value(INVALID) == 1


def test_leftover_of_a_name_that_had_to_be_shortened_is_found(
    bloated: Database, old_snapshot: Connection
) -> None:
    name = "events_by_note_with_a_name_as_long_as_postgresql_allows_it_to_be"[:63]
    bloated.run(f"CREATE INDEX {name} ON events (note, id)")
    leave_leftover(bloated, name)
    old_snapshot.rollback()
    assert bloated.value(INVALID) == 1
    assert reindex(bloated, "--index", "events_pkey").status == 0
    assert bloated.value(INVALID) == 0


def test_leftover_of_a_rebuild_that_was_killed_after_the_swap_is_dropped(bloated: Database) -> None:
    # What a kill in the last phase leaves: the old index, invalid, as _ccold beside the new one.
    bloated.run(
        "CREATE INDEX events_note_ccold ON events (note)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_note_ccold'::regclass",
    )
    assert reindex(bloated, "--index", "events_pkey").status == 0
    assert bloated.value("SELECT to_regclass('events_note_ccold') IS NULL")


def test_invalid_index_of_such_a_name_that_no_rebuild_explains_is_kept(bloated: Database) -> None:
    with bloated.session(autocommit=True) as session:
        session.execute("INSERT INTO events SELECT id + 7000000, note FROM events")
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute("CREATE UNIQUE INDEX CONCURRENTLY mine_ccnew ON events (note)")
    assert reindex(bloated, "--index", "events_pkey").status == 0
    assert bloated.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'mine_ccnew'::regclass")


def test_valid_index_of_such_a_name_is_kept(bloated: Database) -> None:
    bloated.run("CREATE INDEX events_note_ccnew ON events (note)")
    assert reindex(bloated, "--index", "events_pkey").status == 0
    assert bloated.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'events_note_ccnew'::regclass")


def test_lock_that_is_not_to_be_had_is_reported_with_who_holds_it(
    bloated: Database, old_snapshot: Connection
) -> None:
    done = reindex(bloated, "--index", "events_note", "--lock-timeout", "50ms", "--attempts", "2")
    assert done.status == 2
    found = rows(done)["events_note"]
    assert (found["outcome"], found["attempts"], bloated.value(INVALID)) == ("failed", 2, 0)
    assert f"pid {old_snapshot.info.backend_pid} (postgres, long-report" in said(done)


def test_attempt_after_the_lock_became_free_succeeds(bloated: Database, old_snapshot: Connection) -> None:
    process = start(bloated, "--index", "events_note", "--lock-timeout", "50ms", "--attempts", "1000")
    assert process.stderr
    assert any("attempt 1 of 1000" in line for line in iter(process.stderr.readline, ""))
    old_snapshot.rollback()
    done = outcome(process)
    assert (done.status, rows(done)["events_note"]["outcome"]) == (0, "rebuilt")
    assert rows(done)["events_note"]["attempts"] > 1


@pytest.fixture
def never_valid(bloated: Database) -> Database:
    """A database with a unique index that could not be built: note 10 is there twice."""
    with bloated.session(autocommit=True) as session:
        session.execute("INSERT INTO events VALUES (9999999, '10')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute("CREATE UNIQUE INDEX CONCURRENTLY one_note ON events (note)")
    return bloated


def test_invalid_index_that_is_named_becomes_valid(never_valid: Database) -> None:
    never_valid.run("DELETE FROM events WHERE id = 9999999")
    assert reindex(never_valid, "--index", "one_note").status == 0
    assert never_valid.value(INVALID) == 0


def test_unique_index_over_duplicates_fails_with_the_reason_and_leaves_nothing(never_valid: Database) -> None:
    done = reindex(never_valid, "--index", "one_note")
    assert done.status == 2
    assert "could not create unique index" in said(done)
    # Itself, as before.
    assert never_valid.value(INVALID) == 1


def test_exclusion_constraint_is_refused_with_the_reason(database: Database) -> None:
    database.run("CREATE TABLE stays (at tstzrange, EXCLUDE USING gist (at WITH &&))")
    done = reindex(database, "--table", "stays")
    assert done.status == 1
    assert "exclusion constraint, which PostgreSQL does not rebuild concurrently" in said(done)


@pytest.mark.parametrize("words", [("--index", "pg_class_oid_index"), ("--table", "pg_catalog.pg_class")])
def test_system_catalogs_are_refused_with_the_reason(database: Database, words: tuple[str, str]) -> None:
    done = reindex(database, *words)
    assert done.status == 2
    assert "is a system catalog's" in said(done)


@pytest.mark.parametrize(
    ("words", "near"), [(("--index", "event_note"), "events_note"), (("--table", "event"), "events")]
)
def test_name_that_is_not_there_is_refused_with_one_that_is_near(
    bloated: Database, words: tuple[str, str], near: str
) -> None:
    done = reindex(bloated, *words)
    assert done.status == 2
    assert f"near to it: {near}" in said(done)


def test_name_of_two_indexes_is_refused_with_both(bloated: Database) -> None:
    bloated.run(
        "CREATE SCHEMA other",
        "CREATE TABLE other.t (note text)",
        "CREATE INDEX events_note ON other.t (note)",
    )
    done = reindex(bloated, "--index", "events_note")
    assert done.status == 2
    assert "other.events_note, public.events_note" in said(done)


def test_index_of_somebody_else_is_refused(bloated: Database, reader: dict[str, str]) -> None:
    done = bloated.command("reindex.py", "--index", "events_note", "--free-space", "100GB", env=reader)
    assert done.status == 1
    assert "does not own public.events" in said(done)


def test_rebuild_without_room_is_refused_with_the_figures(bloated: Database) -> None:
    done = reindex(bloated, "--reserve", "9000TB")
    assert (done.status, rows(done)["events_note"]["outcome"]) == (1, "refused")
    assert "9000 TB have to stay" in said(done)


def test_room_that_cannot_be_seen_has_to_be_said(bloated: Database) -> None:
    blind = bloated.command("reindex.py", *SMALL, "--index", "events_note")
    told = bloated.command("reindex.py", *SMALL, "--index", "events_note", "--free-space", "2GB")
    assert (blind.status, told.status) == (1, 0)
    assert "free space cannot be seen from here" in said(blind)


def test_figures_are_for_prometheus_too(bloated: Database) -> None:
    found = samples(reindex(bloated, form="prometheus").text)
    of_note = [
        (labels, value) for labels, value in found["database_reindex_size_bytes"] if "note" in labels["index"]
    ]
    sizes = {labels["when"]: value for labels, value in of_note}
    assert sizes["after"] < sizes["before"]
