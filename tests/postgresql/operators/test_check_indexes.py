"""check_indexes.py: each kind of trouble is found where it is, and not where it is not."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from operator_commands import Database, Outcome, wait_until

JOBS = (
    "CREATE TABLE jobs (id int PRIMARY KEY, company int, status text, title text)",
    "INSERT INTO jobs SELECT n, n % 100, 'draft', 'title ' || n FROM generate_series(1, 2000) n",
)
# Sizes and ages at which a test's small tables count.
SMALL = ("--unused-size", "8kB", "--foreign-key-size", "8kB", "--bloat-size", "8kB", "--unused-after", "0")


def check(database: Database, *words: str) -> Outcome:
    return database.command("check_indexes.py", *SMALL, *words)


def fail_to_build(database: Database, statement: str) -> None:
    """Leave an invalid index as in life: CREATE UNIQUE INDEX CONCURRENTLY over duplicates."""
    with database.session(autocommit=True) as session, pytest.raises(psycopg.errors.UniqueViolation):
        session.execute(statement)


def test_all_is_well_where_nothing_is_wrong(database: Database) -> None:
    database.run(*JOBS)
    done = check(database)
    assert (done.status, done.json["level"]) == (0, "ok")


def test_invalid_index_is_critical(database: Database) -> None:
    database.run(*JOBS)
    fail_to_build(database, "CREATE UNIQUE INDEX CONCURRENTLY one_per_company ON jobs (company)")
    done = check(database)
    assert done.status == 2
    [message] = done.findings("invalid", "critical")
    assert message.startswith("public.one_per_company on public.jobs is invalid")
    assert done.metric("database_invalid_indexes") == 1


def test_advice_for_an_invalid_index_names_the_command(database: Database) -> None:
    database.run(*JOBS)
    fail_to_build(database, "CREATE UNIQUE INDEX CONCURRENTLY one_per_company ON jobs (company)")
    text = database.command("check_indexes.py", form="text").text
    assert "→ bundle-reindex --index public.one_per_company builds it anew" in text


def test_index_that_is_being_built_is_not_called_invalid(database: Database) -> None:
    database.run(*JOBS)
    writer = database.session()
    writer.execute("UPDATE jobs SET title = 'held' WHERE id = 1")
    builder = database.session(autocommit=True)
    # Sent and not waited for: it waits for the writer's transaction.
    builder.pgconn.send_query(b"CREATE INDEX CONCURRENTLY later ON jobs (title)")
    builder.pgconn.flush()
    wait_until(
        lambda: database.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 1, "the index's entry"
    )
    done = check(database)
    assert done.level("invalid") == "ok"
    assert "is being built" in done.findings("invalid")[0]


def test_constraint_that_is_not_validated_is_a_warning(database: Database) -> None:
    database.run(*JOBS, "ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> '') NOT VALID")
    done = check(database)
    assert (done.status, done.level("unvalidated")) == (1, "warning")


def test_validated_constraint_is_well(database: Database) -> None:
    database.run(*JOBS, "ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> '')")
    assert check(database).level("unvalidated") == "ok"


def test_index_that_no_query_reads_is_a_warning(database: Database) -> None:
    database.run(*JOBS, "CREATE INDEX jobs_title ON jobs (title)")
    done = check(database, "--only", "unused")
    assert done.status == 1
    assert [message.split()[0] for message in done.findings("unused", "warning")] == ["public.jobs_title"]


def test_index_that_a_query_has_read_is_used(database: Database) -> None:
    database.run(
        *JOBS,
        "CREATE INDEX jobs_title ON jobs (title)",
        "ANALYZE jobs",
        "SELECT count(*) FROM jobs WHERE title = 'title 7'",
        "SELECT pg_stat_force_next_flush()",
    )
    done = check(database, "--only", "unused")
    assert done.status == 0
    assert done.metric("database_index_scans_total", index="jobs_title") == 1


def test_unique_index_is_never_called_unused(database: Database) -> None:
    database.run(*JOBS, "CREATE UNIQUE INDEX one_title ON jobs (title)")
    assert check(database, "--only", "unused").status == 0


def test_nothing_is_called_unused_while_statistics_are_young(database: Database) -> None:
    database.run(*JOBS, "CREATE INDEX jobs_title ON jobs (title)")
    done = check(database, "--only", "unused", "--unused-after", "7d")
    assert done.status == 0
    assert "not judged" in done.findings("unused")[0]


@pytest.mark.parametrize(
    ("index", "better"),
    [
        ("CREATE INDEX extra ON jobs (company)", "CREATE INDEX better ON jobs (company, status)"),
        ("CREATE INDEX extra ON jobs (id)", ""),
        ("CREATE INDEX extra ON jobs (lower(title))", "CREATE UNIQUE INDEX better ON jobs (lower(title))"),
        (
            "CREATE INDEX extra ON jobs (company) WHERE status = 'draft'",
            "CREATE INDEX better ON jobs (company, title) WHERE status = 'draft'",
        ),
        ("CREATE INDEX extra ON jobs (company)", "CREATE INDEX better ON jobs (company) INCLUDE (title)"),
    ],
)
def test_index_whose_work_another_does_is_redundant(database: Database, index: str, better: str) -> None:
    database.run(*JOBS, index, *([better] if better else []))
    done = check(database, "--only", "redundant")
    assert done.status == 1
    assert [message.split()[0] for message in done.findings("redundant", "warning")] == ["public.extra"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE INDEX one ON jobs (company)", "CREATE INDEX other ON jobs (status, company)"),
        ("CREATE INDEX one ON jobs (company)", "CREATE INDEX other ON jobs (company DESC, status)"),
        ("CREATE INDEX one ON jobs (company)", "CREATE INDEX other ON jobs (company, status) WHERE id > 5"),
        ("CREATE UNIQUE INDEX one ON jobs (title)", "CREATE INDEX other ON jobs (title, status)"),
        ("CREATE INDEX one ON jobs (title)", "CREATE INDEX other ON jobs (title text_pattern_ops, id)"),
        ("CREATE INDEX one ON jobs (title)", "CREATE INDEX other ON jobs USING hash (title)"),
        ("CREATE INDEX one ON jobs (lower(title))", "CREATE INDEX other ON jobs (upper(title))"),
    ],
)
def test_index_that_does_something_of_its_own_is_not_redundant(
    database: Database, one: str, other: str
) -> None:
    database.run(*JOBS, one, other)
    assert check(database, "--only", "redundant").status == 0


def test_of_two_that_are_alike_the_older_stays(database: Database) -> None:
    database.run(*JOBS, "CREATE INDEX zz_older ON jobs (title)", "CREATE INDEX aa_newer ON jobs (title)")
    assert [message.split()[0] for message in check(database).findings("redundant", "warning")] == [
        "public.aa_newer"
    ]


KEY = (
    "CREATE TABLE applications (job int REFERENCES jobs, person int, note text)",
    "INSERT INTO applications SELECT n % 2000 + 1, n FROM generate_series(1, 2000) n",
)


def test_foreign_key_without_an_index_is_a_warning(database: Database) -> None:
    database.run(*JOBS, *KEY, "CREATE INDEX person_first ON applications (person, job)")
    done = check(database, "--only", "foreign-keys")
    assert done.status == 1
    assert "has no index on public.applications (job)" in done.findings("foreign-keys", "warning")[0]


@pytest.mark.parametrize("columns", ["(job, person)", "(job) WHERE job IS NOT NULL"])
def test_foreign_key_is_served_by_an_index_that_begins_with_it(database: Database, columns: str) -> None:
    database.run(*JOBS, *KEY, f"CREATE INDEX serves ON applications {columns}")
    assert check(database, "--only", "foreign-keys").status == 0


def test_foreign_key_is_not_served_by_an_index_of_some_rows(database: Database) -> None:
    database.run(*JOBS, *KEY, "CREATE INDEX several ON applications (job) WHERE person > 5")
    assert check(database, "--only", "foreign-keys").status == 1


def test_foreign_key_of_a_small_table_needs_no_index(database: Database) -> None:
    database.run(*JOBS, *KEY)
    assert check(database, "--only", "foreign-keys", "--foreign-key-size", "1GB").status == 0


BLOATED = (
    "CREATE TABLE events (id int, note text)",
    "ALTER TABLE events SET (autovacuum_enabled = off)",
    "INSERT INTO events SELECT n, n FROM generate_series(1, 20000) n",
    "CREATE INDEX events_id ON events (id)",
)
# Every tenth row stays, so that no page of the index becomes empty: real bloat.
THIN_OUT = ("DELETE FROM events WHERE id % 10 > 0", "VACUUM ANALYZE events")


@pytest.mark.parametrize("method", ["pgstattuple", "estimate"])
def test_bloat_after_deletes_is_found(database: Database, method: str) -> None:
    database.run("CREATE EXTENSION pgstattuple", *BLOATED, *THIN_OUT)
    done = check(database, "--only", "bloat", "--bloat-method", method)
    assert done.status == 2
    assert done.metric("database_index_bloat_ratio", index="events_id", method=method) > 0.8


@pytest.mark.parametrize("method", ["pgstattuple", "estimate"])
def test_index_just_built_is_not_bloated(database: Database, method: str) -> None:
    database.run("CREATE EXTENSION pgstattuple", *BLOATED, "ANALYZE events")
    done = check(database, "--only", "bloat", "--bloat-method", method)
    assert done.status == 0
    assert done.metric("database_index_bloat_ratio", index="events_id", method=method) < 0.1


def test_bloat_is_estimated_where_pgstattuple_is_not_and_the_output_says_so(database: Database) -> None:
    database.run(*BLOATED, *THIN_OUT)
    done = check(database, "--only", "bloat")
    assert "estimated from statistics" in done.findings("bloat", "critical")[0]
    assert "exact with CREATE EXTENSION pgstattuple" in done.findings("bloat", "ok")[0]


def test_estimate_knows_nothing_of_a_table_that_was_never_analyzed(database: Database) -> None:
    database.run(*BLOATED)
    done = check(database, "--only", "bloat", "--bloat-method", "estimate")
    assert done.status == 0
    assert "cannot be known" in done.findings("bloat")[0]


def test_pgstattuple_asked_for_and_not_there_is_an_error(database: Database) -> None:
    done = check(database, "--bloat-method", "pgstattuple")
    assert done.status == 2
    assert "CREATE EXTENSION pgstattuple" in done.json["findings"][0]["message"]


def test_bloat_limits_are_options(database: Database) -> None:
    database.run("CREATE EXTENSION pgstattuple", *BLOATED, *THIN_OUT)
    assert check(database, "--only", "bloat", "--bloat", "50,never").status == 1


def expected(database: Database, folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    """A file with what the database has now, changed in one place."""
    file = folder / "expected.sql"
    done = database.command("check_indexes.py", "--print-expected")
    assert done.status == 0
    assert change[0] in done.text
    file.write_text(done.text.replace(*change))
    return file


WITH_RULES = (
    *JOBS,
    'CREATE TABLE "Odd name" (id int PRIMARY KEY, job int REFERENCES jobs, "a ""b" text CHECK (length("a ""b") > 1))',
    'CREATE UNIQUE INDEX "Odd index" ON "Odd name" (job) WHERE "a ""b" IS NOT NULL',
    "CREATE INDEX jobs_company_status ON jobs (company, status) WHERE status = 'published'",
    "ALTER TABLE jobs ADD CONSTRAINT one_title UNIQUE (company, title)",
)


def test_what_is_printed_as_expected_is_found(database: Database, tmp_path: Path) -> None:
    database.run(*WITH_RULES)
    done = check(database, "--only", "expected", "--expect", str(expected(database, tmp_path)))
    assert done.status == 0
    # Two primary keys, a foreign key, a check, two indexes, a unique constraint.
    assert done.findings("expected") == ["7 of 7 expected indexes and constraints are there"]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP INDEX jobs_company_status", "jobs_company_status"),
        ("ALTER TABLE jobs DROP CONSTRAINT one_title", "one_title"),
        ('DROP INDEX "Odd index"', '"Odd index"'),
        ('ALTER TABLE "Odd name" DROP CONSTRAINT "Odd name_job_fkey"', '"Odd name_job_fkey"'),
    ],
)
def test_what_is_expected_and_missing_is_critical(
    database: Database, tmp_path: Path, statement: str, name: str
) -> None:
    database.run(*WITH_RULES)
    file = expected(database, tmp_path)
    database.run(statement)
    done = check(database, "--only", "expected", "--expect", str(file))
    assert done.status == 2
    [message] = done.findings("expected", "critical")
    assert message.startswith(f"{name} on ")


def test_advice_for_a_missing_index_is_a_statement_that_works(database: Database, tmp_path: Path) -> None:
    database.run(*WITH_RULES)
    file = expected(database, tmp_path)
    database.run("DROP INDEX jobs_company_status")
    done = check(database, "--only", "expected", "--expect", str(file))
    [advice] = [each["advice"] for each in done.json["findings"] if each["level"] == "critical"]
    database.run(advice.partition("By hand: ")[2])
    assert check(database, "--only", "expected", "--expect", str(file)).status == 0


def test_index_of_another_definition_is_a_warning(database: Database, tmp_path: Path) -> None:
    database.run(*WITH_RULES)
    file = expected(
        database, tmp_path, ("WHERE (status = 'published'::text)", "WHERE (status = 'draft'::text)")
    )
    done = check(database, "--only", "expected", "--expect", str(file))
    assert done.status == 1
    assert "jobs_company_status on public.jobs is not as expected" in done.findings("expected", "warning")[0]


def test_name_alone_is_expected_whatever_the_definition(database: Database, tmp_path: Path) -> None:
    database.run(*WITH_RULES)
    file = tmp_path / "names"
    file.write_text("jobs_company_status\none_title\n")
    assert check(database, "--only", "expected", "--expect", str(file)).status == 0


def test_finding_that_the_file_pardons_is_said_and_is_no_warning(database: Database, tmp_path: Path) -> None:
    database.run(*JOBS, "CREATE INDEX jobs_again ON jobs (id)")
    file = tmp_path / "expected.sql"
    file.write_text("jobs_pkey\n-- accept redundant jobs_again: a guide names it\n")
    done = check(database, "--only", "redundant", "--expect", str(file))
    assert done.status == 0
    assert "jobs_again" in done.findings("redundant")[0]


def test_finding_that_an_option_pardons_is_no_warning(database: Database) -> None:
    database.run(*JOBS, "CREATE INDEX jobs_again ON jobs (id)")
    assert check(database, "--only", "redundant", "--accept", "redundant:jobs_again").status == 0


def test_line_that_is_no_statement_is_named_with_its_number(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "expected.sql"
    file.write_text("jobs_pkey\nDROP TABLE jobs;\n")
    done = check(database, "--expect", str(file))
    assert done.status == 2
    assert "line 2: DROP TABLE jobs;" in done.json["findings"][0]["message"]


def test_role_that_may_not_see_statistics_is_told_that_bloat_is_unknown(
    database: Database, reader: dict[str, str]
) -> None:
    database.run("CREATE EXTENSION pgstattuple", *BLOATED, *THIN_OUT)
    done = database.command("check_indexes.py", "--only", "bloat", "--bloat-size", "8kB", env=reader)
    assert done.status == 0
    assert "cannot be known" in done.findings("bloat")[0]
