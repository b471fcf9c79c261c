"""What a migration that fails leaves behind, and what the message says."""

from __future__ import annotations

import psycopg
import pytest
from throwaway import PASSWORD, Server

from product import FORGETFUL_ENV, Product

CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index("by_name", "users", ["name"], unique={unique}, postgresql_concurrently=True)
"""


def test_failure_in_the_middle_leaves_the_previous_revision_and_says_so(
    server: Server, product: Product
) -> None:
    product.table("a1", "users")
    product.add(
        "b2", "op.execute('CREATE TABLE half (id integer)')\nop.execute('ALTER TABLE nowhere ADD x int')"
    )
    product.table("c3", "jobs")
    result = product.run()
    assert result["failed"]
    assert (server.tables, server.revision) == ({"users"}, ["a1"])
    assert (result["before"], result["after"], result["changed"]) == ("base", "a1", True)
    for words in (
        'Migration b2 ("make b2") failed: relation "nowhere" does not exist (SQLSTATE 42P01).',
        "In migrations/versions/b2.py:13.",
        "Statement: ALTER TABLE nowhere ADD x int.",
        "The database stands at a1; before it this run completed a1. Nothing of it stays.",
        "Next: Correct the revision",
    ):
        assert words in result["msg"]


def test_app_role_cannot_write_the_version_table_after_a_failed_first_run(
    server: Server, product: Product
) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE nowhere ADD x int")
    product.run()
    rows = server.rows("SELECT has_table_privilege(%s, 'alembic_version', 'UPDATE')", server.roles["app"])
    assert rows == [(False,)]


def test_rows_that_break_a_new_rule_are_named(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "CREATE UNIQUE INDEX by_name ON users (name)")
    product.run(revision="a1")
    server.rows("INSERT INTO users VALUES (1, 'Ada'), (2, 'Ada')")
    result = product.run()
    assert "(SQLSTATE 23505). Key (name)=(Ada) is duplicated." in result["msg"]
    assert "Those rows break the new rule" in result["msg"]


def test_failed_concurrent_build_leaves_no_invalid_index(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", CONCURRENTLY.format(unique=True))
    product.run(revision="a1")
    server.rows("INSERT INTO users VALUES (1, 'Ada'), (2, 'Ada')")
    result = product.run()
    assert "Key (name)=(Ada) is duplicated" in result["msg"]
    assert result["invalid_indexes_dropped"] == ["public.by_name"]
    assert server.rows("SELECT 1 FROM pg_class WHERE relname = 'by_name'") == []
    server.rows("UPDATE users SET name = 'Grace' WHERE id = 2")
    assert product.run()["after"] == "b2"
    assert server.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_name'::regclass") == [(True,)]


def test_invalid_index_that_if_not_exists_would_keep_is_dropped_first(
    server: Server, product: Product
) -> None:
    product.table("a1", "users")
    product.run()
    server.rows("INSERT INTO users VALUES (1, 'Ada'), (2, 'Ada')")
    with server.connect() as connection:
        connection.execute(f"SET ROLE {server.roles['owner']}")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY by_name ON users (name)")
    assert server.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_name'::regclass") == [(False,)]
    product.add(
        "b2",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX CONCURRENTLY IF NOT EXISTS by_name ON users (name)')",
    )
    result = product.run()
    assert result["invalid_indexes_dropped"] == ["public.by_name"]
    assert server.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_name'::regclass") == [(True,)]


def test_upgrade_that_swallows_a_failed_build_is_a_failure(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add(
        "b2",
        "try:\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.execute('CREATE UNIQUE INDEX CONCURRENTLY by_name ON users (name)')\n"
        "except Exception:\n"
        "    print('never mind')",
    )
    product.run(revision="a1")
    server.rows("INSERT INTO users VALUES (1, 'Ada'), (2, 'Ada')")
    result = product.run()
    assert result["failed"]
    assert "these indexes are invalid: public.by_name" in result["msg"]


def test_what_a_revision_committed_by_itself_is_told(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add(
        "b2",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE TABLE kept (id integer)')\n"
        "op.execute('ALTER TABLE nowhere ADD x int')",
    )
    result = product.run()
    assert server.tables == {"users", "kept"}
    assert (
        "1 of its statements are committed already and stay: CREATE TABLE kept (id integer)." in result["msg"]
    )
    assert "undo them by hand or write them IF NOT EXISTS" in result["msg"]


def test_env_that_never_commits_is_a_failure(server: Server, product: Product) -> None:
    product.environment(FORGETFUL_ENV)
    product.table("a1", "users")
    result = product.run()
    assert "ended without an error, but did not do it. The database stands at base." in result["msg"]
    assert "does not commit" in result["msg"]
    assert server.tables == set()


def test_python_error_in_a_revision_names_its_line(product: Product) -> None:
    product.add("a1", "undefined_name()")
    result = product.run()
    assert "NameError: name 'undefined_name' is not defined" in result["msg"]
    assert "In migrations/versions/a1.py:12." in result["msg"]


def test_product_that_kills_itself_is_told(product: Product) -> None:
    product.add("a1", "print('out of memory', flush=True)\nos.kill(os.getpid(), 9)")
    result = product.run()
    assert "ended by signal 9 in the middle of its work, after printing:" in result["msg"]
    assert "out of memory" in result["msg"]


def test_environment_without_alembic_is_told(product: Product) -> None:
    product.table("a1", "users")
    result = product.run(python="/usr/bin/python3", environment={"PYTHONPATH": ""})
    assert "cannot run migrations: ModuleNotFoundError" in result["msg"]


def test_no_secret_is_in_any_output(server: Server, product: Product) -> None:
    product.add(
        "a1",
        "print(os.environ['DATABASE_URL'], os.environ['API_TOKEN'])\n"
        "raise RuntimeError(os.environ['DATABASE_URL'] + os.environ['API_TOKEN'])",
    )
    result = product.run(environment={"API_TOKEN": "tok-123", "WORKERS": "1"})
    assert result["failed"]
    for secret in (PASSWORD, server.url(), "tok-123", PASSWORD.replace("/", "%2F")):
        assert secret not in result["everything_written"]
    assert "the product greets ********" in " ".join(result["output"])
    assert 'Migration a1 ("make a1") failed: RuntimeError' in result["msg"]


def test_wrong_password_is_told_without_it(server: Server, product: Product) -> None:
    product.table("a1", "users")
    result = product.run(database_url=server.url().replace("s3cr3t", "oth3r"))
    assert f"{server.database} on " in result["msg"]
    assert "password authentication failed" in result["msg"]
    assert "oth3r" not in result["everything_written"]
