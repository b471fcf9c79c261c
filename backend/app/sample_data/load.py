"""The way into the database: COPY in pieces, in one transaction, with the application's rights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import psycopg
from psycopg import sql

from app.sample_data import people, work
from app.sample_data.world import World

# A statement for so many rows takes about a second; the application's role may use 30 for one.
ROWS_PER_STATEMENT = 25_000
ROWS_PER_WRITE = 500
# Any number that no other advisory lock of this database has.
LOCK = 7_302_026


class Table(NamedTuple):
    """A table, the columns that sample data fills, and the lines for them."""

    name: str
    columns: str
    lines: Callable[[World], Iterator[str]]


# In the order of their foreign keys.
TABLES = (
    Table(
        "users",
        "id email email_verified name role first_name last_name is_active created_at updated_at",
        people.users,
    ),
    Table(
        "accounts",
        "id user_id type provider provider_account_id token_type scope created_at updated_at",
        people.accounts,
    ),
    Table("sessions", "id user_id session_token expires created_at updated_at", people.sessions),
    Table("verification_tokens", "id identifier token expires created_at", people.verification_tokens),
    Table(
        "password_reset_tokens",
        "id user_id token expires_at used_at created_at",
        people.password_reset_tokens,
    ),
    Table(
        "companies",
        "id name description industry size website_url city country created_at updated_at",
        people.companies,
    ),
    Table(
        "employers",
        "id user_id company_id position department can_create_jobs can_manage_candidates is_admin"
        " created_at updated_at",
        people.employers,
    ),
    Table(
        "candidates",
        "id user_id location title summary years_experience salary_expectation_min salary_expectation_max"
        " cv_url cv_filename cv_uploaded_at created_at updated_at",
        people.candidates,
    ),
    Table(
        "candidate_cvs",
        "id candidate_id filename file_path file_size is_active created_at updated_at",
        people.candidate_cvs,
    ),
    Table(
        "experiences",
        "id candidate_id title company start_date end_date is_current created_at updated_at",
        people.experiences,
    ),
    Table(
        "educations",
        "id candidate_id degree school start_date end_date created_at updated_at",
        people.educations,
    ),
    Table("skills", "id candidate_id name level category created_at updated_at", people.skills),
    Table(
        "jobs",
        "id employer_id company_id title description requirements responsibilities benefits job_type"
        " location_type status location salary_min salary_max currency is_featured views_count"
        " applications_count posted_at expires_at created_at updated_at",
        work.jobs,
    ),
    Table(
        "job_applications",
        "id job_id candidate_id status cover_letter cv_url applied_at viewed_at updated_at",
        work.job_applications,
    ),
    Table(
        "notifications",
        "id user_id type title message related_job_id related_application_id is_read read_at created_at",
        work.notifications,
    ),
)


class Progress:
    """Says what is being done, each line with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        print(f"{time.monotonic() - self._start:7.1f} s  {text}", flush=True)


class BusyError(Exception):
    """Another load is under way."""


def tables_with_rows(connection: psycopg.Connection) -> list[str]:
    """The names of the tables that are not empty."""
    return [
        table.name
        for table in TABLES
        if connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table.name))
        ).fetchone()
        == (True,)
    ]


def take_lock(connection: psycopg.Connection) -> None:
    """Keep a second load away until this transaction ends.

    Raises:
        BusyError: another one has it.
    """
    if connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,)).fetchone() != (True,):
        raise BusyError("another load of sample data is under way; wait for it to end")


def load(connection: psycopg.Connection, world: World, progress: Progress) -> int:
    """Put all rows in and set the sequences; the caller commits. Returns the number of rows."""
    total = 0
    for table in TABLES:
        rows = 0
        lines = table.lines(world)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns.split()))
        )
        while piece := _copy_piece(connection, statement, lines):
            rows += piece
            if rows % (8 * ROWS_PER_STATEMENT) == 0:
                progress.say(f"{table.name}: {rows:,} rows so far")
        _advance_sequence(connection, table.name, rows)
        progress.say(f"{table.name}: {rows:,} rows")
        total += rows
    return total


def _copy_piece(connection: psycopg.Connection, statement: sql.Composed, lines: Iterator[str]) -> int:
    """One COPY statement of at most `ROWS_PER_STATEMENT` rows; 0 when there are no more."""
    left = ROWS_PER_STATEMENT
    block = [*islice(lines, ROWS_PER_WRITE)]
    if not block:
        return 0
    with connection.cursor().copy(statement) as copy:
        while block:
            copy.write("".join(block))
            left -= len(block)
            block = [*islice(lines, min(ROWS_PER_WRITE, left))]
    return ROWS_PER_STATEMENT - left


def _advance_sequence(connection: psycopg.Connection, table: str, rows: int) -> None:
    """Let the next id come after the highest loaded one.

    By nextval, which needs no more than USAGE, what a role that inserts has; setval would need UPDATE.
    """
    sequence = connection.execute("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).fetchone()
    # The name is resolved once: inside the other statement PostgreSQL would look it up for every row.
    connection.execute(
        "SELECT max(nextval(%s::regclass)) FROM generate_series(1, %s)", (sequence and sequence[0], rows)
    )


def analyze(connection: psycopg.Connection, progress: Progress) -> None:
    """Refresh the planner's statistics where this role may; elsewhere autovacuum does it soon."""
    row = connection.execute(
        "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'jobs'::regclass"
    )
    if row.fetchone() != (True,):
        progress.say("statistics: left to autovacuum, since only the tables' owner may run ANALYZE")
        return
    for table in TABLES:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.name)))
    progress.say("statistics: refreshed")
