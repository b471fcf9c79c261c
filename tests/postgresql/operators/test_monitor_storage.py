"""monitor_db.py about what is stored and how it is read."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from operator_commands import Database, Outcome, wait_until

TABLE = (
    "CREATE TABLE events (id int, note text) WITH (autovacuum_enabled = off)",
    "INSERT INTO events SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n",
)
FLUSH = "SELECT pg_stat_force_next_flush()"


def look(database: Database, check: str, *words: str) -> Outcome:
    return database.command("monitor_db.py", "--only", check, *words)


def work(database: Database, *statements: str) -> None:
    """Statements in one session, counted in the statistics when this returns."""
    with database.session(autocommit=True) as session:
        for statement in (*statements, FLUSH):
            session.execute(statement.encode())
        # What a command has done is counted when the one after it begins.
        session.execute("SELECT 1")


def test_cache_hit_ratio_below_the_limit_is_a_warning(database: Database) -> None:
    work(database, *TABLE)
    # Some block was read from the disk: the ratio cannot be 100.
    done = look(database, "cache-hit", "--cache-hit", "100,never", "--cache-hit-blocks", "1")
    assert done.status == 1
    assert 0 < done.metric("database_cache_hit_ratio") < 1


def test_cache_hit_ratio_above_the_limit_is_well(database: Database) -> None:
    work(database, *TABLE)
    assert look(database, "cache-hit", "--cache-hit", "2,1", "--cache-hit-blocks", "1").status == 0


def test_cache_hit_ratio_of_few_reads_is_not_judged(database: Database) -> None:
    done = look(database, "cache-hit", "--cache-hit", "100,never", "--cache-hit-blocks", "99999999")
    assert (done.status, "not judged" in done.findings("cache-hit")[0]) == (0, True)


def test_table_with_many_dead_rows_is_named(database: Database) -> None:
    work(database, *TABLE, "DELETE FROM events WHERE id % 3 = 0")
    done = look(database, "dead-rows", "--dead-rows-least", "100")
    assert done.status == 1
    assert "public.events has 6,666 dead rows, 33 %; last vacuumed never" in done.findings("dead-rows")[0]


def test_vacuumed_table_is_well(database: Database) -> None:
    work(database, *TABLE, "DELETE FROM events WHERE id % 3 = 0", "VACUUM events")
    assert look(database, "dead-rows", "--dead-rows-least", "100").status == 0


def test_few_dead_rows_do_not_matter(database: Database) -> None:
    work(database, *TABLE, "DELETE FROM events WHERE id % 3 = 0")
    assert look(database, "dead-rows").status == 0


def test_size_of_the_database_has_a_limit_if_one_is_given(database: Database) -> None:
    assert look(database, "tables").status == 0
    assert look(database, "tables", "--tables", "1MB,never").status == 1


def test_largest_tables_are_listed_in_bytes(database: Database) -> None:
    work(database, *TABLE)
    [row] = look(database, "tables").json["tables"]["Largest tables"]
    assert row["table"] == "public.events"
    assert row["size"] == database.value("SELECT pg_total_relation_size('events')")


def test_age_of_transaction_numbers_has_limits(database: Database) -> None:
    assert look(database, "wraparound").status == 0
    assert look(database, "wraparound", "--wraparound", "0,never").status == 1


def test_temporary_files_are_judged_by_what_came_since_the_run_before(
    database: Database, tmp_path: Path
) -> None:
    words = ("--temp-files", "1MB,never", "--state", str(tmp_path / "state"))
    first = look(database, "temp-files", *words)
    work(
        database,
        *TABLE,
        "SET work_mem = '64kB'",
        "SELECT count(*) FROM (SELECT note FROM events ORDER BY note) x",
    )
    second = look(database, "temp-files", *words)
    third = look(database, "temp-files", *words)
    assert (first.status, second.status, third.status) == (0, 1, 0)


def deadlock(database: Database) -> None:
    """Two transactions that wait for each other, of which PostgreSQL ends one."""
    database.run(
        "CREATE TABLE IF NOT EXISTS jobs (id int PRIMARY KEY, n int)",
        "INSERT INTO jobs VALUES (1, 0), (2, 0) ON CONFLICT DO NOTHING",
    )
    one, other = database.session(), database.session()
    one.execute("SET deadlock_timeout = '1h'")
    other.execute("SET deadlock_timeout = '10ms'")
    one.execute("UPDATE jobs SET n = 1 WHERE id = 1")
    other.execute("UPDATE jobs SET n = 1 WHERE id = 2")
    one.pgconn.send_query(b"UPDATE jobs SET n = 1 WHERE id = 2")
    one.pgconn.flush()
    with pytest.raises(psycopg.errors.DeadlockDetected):
        other.execute("UPDATE jobs SET n = 1 WHERE id = 1")
    one.close()
    # Its statistics are written when it ends.
    other.close()


def test_deadlock_since_the_run_before_is_a_warning(database: Database, tmp_path: Path) -> None:
    words = ("--state", str(tmp_path / "state"))
    assert look(database, "deadlocks", *words).status == 0
    deadlock(database)
    wait_until(
        lambda: (
            database.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 1
        ),
        "the counter",
    )
    assert look(database, "deadlocks", *words).status == 1
    assert look(database, "deadlocks", *words).status == 0


def test_statistics_that_were_reset_begin_anew(database: Database, tmp_path: Path) -> None:
    words = ("--state", str(tmp_path / "state"))
    look(database, "deadlocks", *words)
    database.run("SELECT pg_stat_reset()")
    assert "since statistics began" in look(database, "deadlocks", *words).findings("deadlocks")[0]


@pytest.mark.parametrize("content", ["{", "[]", '{"database": "x"}'])
def test_state_file_that_is_something_else_is_refused_and_kept(
    database: Database, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "state"
    file.write_text(content)
    done = look(database, "deadlocks", "--state", str(file))
    assert (done.status, file.read_text()) == (2, content)
    assert str(file) in done.json["findings"][0]["message"]


def test_state_file_of_another_database_is_refused(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "state"
    look(database, "deadlocks", "--state", str(file))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"database": "another"}))
    done = look(database, "deadlocks", "--state", str(file))
    assert done.status == 2
    assert "is of database another" in done.json["findings"][0]["message"]


def test_statement_that_is_slow_on_average_is_named(database: Database) -> None:
    database.run("CREATE EXTENSION pg_stat_statements", "SELECT pg_sleep(0.02)", "SELECT pg_sleep(0.02)")
    done = look(database, "slow-statements", "--slow-statements", "20ms,never", "--calls", "2")
    assert done.status == 1
    assert any("SELECT pg_sleep($1)" in each for each in done.findings("slow-statements", "warning"))


def test_statement_that_was_called_seldom_is_not_judged(database: Database) -> None:
    database.run("CREATE EXTENSION pg_stat_statements", "SELECT pg_sleep(0.02)")
    assert look(database, "slow-statements", "--slow-statements", "20ms,never", "--calls", "2").status == 0


def test_statements_are_not_looked_at_without_the_extension(database: Database) -> None:
    done = look(database, "slow-statements")
    assert (done.status, "not looked at" in done.findings("slow-statements")[0]) == (0, True)


def test_extension_that_is_not_preloaded_is_a_warning(second_server: Database) -> None:
    second_server.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    done = look(second_server, "slow-statements")
    assert (done.status, "not in shared_preload_libraries" in done.findings("slow-statements")[0]) == (
        1,
        True,
    )


def test_page_that_the_disk_changed_is_critical(second_server: Database) -> None:
    assert look(second_server, "checksums").status == 0
    second_server.run(*TABLE)
    # A copy of the files: none of its pages is in memory yet.
    with psycopg.connect(**{**second_server.words, "dbname": "template1"}, autocommit=True) as session:
        session.execute("CREATE DATABASE damaged TEMPLATE postgres STRATEGY file_copy")
    damaged = Database("damaged", second_server.server)
    path = damaged.value("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('events')")
    with Path(path).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"changed")
    with pytest.raises(psycopg.errors.DataCorrupted):
        damaged.run("SELECT count(*) FROM events")
    done = look(second_server, "checksums")
    assert done.status == 2
    assert "1 pages were wrong in damaged" in done.findings("checksums")[0]


def test_server_without_checksums_is_warned_of(database: Database) -> None:
    assert look(database, "checksums").status == 1
