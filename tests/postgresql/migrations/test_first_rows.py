"""A command that makes first rows and is killed: what it left is told from the database, as no exit status can."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg2
import pytest
from ansible.module_utils.alembic_database import Database
from ansible.module_utils.first_rows import Begun, left_by, rows_now
from psycopg.conninfo import make_conninfo
from throwaway import PASSWORD, Server

ARTICLES = "public.articles"
COMMAND = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as session:
    for name in ("Pencil", "Notebook"):
        session.execute("INSERT INTO articles (name) VALUES (%s)", [name])
        if sys.argv[2] == "one by one":
            session.commit()
        print(name, flush=True)
        sys.stdin.readline()
    session.commit()
    print("made", flush=True)
    sys.stdin.readline()
"""


class Command:
    """A product's command, one step at a time."""

    def __init__(self, server: Server, commits: str) -> None:
        user = {"user": server.roles["app"], "password": PASSWORD}
        words = [sys.executable, "-c", COMMAND, make_conninfo(dbname=server.database, **user), commits]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill_after(self, *steps: str) -> None:
        """End it with SIGKILL once it has said each of these."""
        assert self.process.stdin
        assert self.process.stdout
        for number, step in enumerate(steps):
            if number:
                self.process.stdin.write("go on\n")
                self.process.stdin.flush()
            assert self.process.stdout.readline() == f"{step}\n"
        self.process.kill()
        assert self.process.wait(30) == -9
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def app(server: Server) -> Iterator[Database]:
    """A session of the product's user, in a database with a table that its migration gave one row."""
    owner = server.roles["owner"]
    with server.connect() as session:
        session.execute(f"SET ROLE {owner}")
        session.execute("CREATE TABLE alembic_version (version_num text)")
        session.execute("CREATE TABLE articles (id serial PRIMARY KEY, name text)")
        session.execute(f"GRANT USAGE ON SEQUENCE articles_id_seq TO {server.roles['app']}")
        session.execute("INSERT INTO articles (name) VALUES ('Ruler')")
    words = {"host": os.environ["PGHOST"], "dbname": server.database}
    database = Database(
        psycopg2.connect, words | {"user": server.roles["app"], "password": PASSWORD}, "first rows"
    )
    yield database
    database.close()


@pytest.fixture
def begun(app: Database) -> Begun:
    """What is written down before the command begins."""
    return Begun("0123456789ab", "2026-01-06T12:00:00+00:00", rows_now(app.rows, "alembic_version"))


def test_a_command_in_one_transaction_that_was_killed_in_it_has_left_nothing(
    server: Server, app: Database, begun: Begun
) -> None:
    Command(server, "at the end").kill_after("Pencil", "Notebook")
    assert left_by(app.rows, begun) == {}


def test_a_command_that_was_killed_after_its_commit_has_left_its_rows(
    server: Server, app: Database, begun: Begun
) -> None:
    Command(server, "at the end").kill_after("Pencil", "Notebook", "made")
    assert left_by(app.rows, begun) == {ARTICLES: "has 3 rows, and had 1"}


def test_a_command_that_was_killed_between_two_commits_has_left_a_part(
    server: Server, app: Database, begun: Begun
) -> None:
    Command(server, "one by one").kill_after("Pencil")
    assert left_by(app.rows, begun) == {ARTICLES: "has 2 rows, and had 1"}


def test_a_row_of_a_migration_that_has_another_value_is_seen(
    server: Server, app: Database, begun: Begun
) -> None:
    server.rows("UPDATE articles SET name = 'Long ruler'")
    assert left_by(app.rows, begun) == {ARTICLES: "has other values in its 1 rows than before"}


def test_what_it_wrote_and_was_taken_out_is_not_there_any_more(
    server: Server, app: Database, begun: Begun
) -> None:
    Command(server, "one by one").kill_after("Pencil")
    server.rows("DELETE FROM articles WHERE name = 'Pencil'")
    assert left_by(app.rows, begun) == {}


def test_later_migration_is_not_taken_for_what_the_command_wrote(
    server: Server, app: Database, begun: Begun
) -> None:
    server.rows("INSERT INTO alembic_version VALUES ('b2')")
    server.rows("ALTER TABLE articles ADD COLUMN cents integer")
    assert left_by(app.rows, begun) == {}


def test_session_of_the_pool_is_given_back_with_its_own_settings(app: Database, begun: Begun) -> None:
    app.rows("SET TimeZone = 'Asia/Tokyo'")
    assert left_by(app.rows, begun) == {}
    assert app.value("SHOW TimeZone") == "Asia/Tokyo"
