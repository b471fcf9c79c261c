"""The way that every deployment goes."""

from __future__ import annotations

import psycopg
import pytest
from throwaway import Server

from product import Product


def test_empty_database_is_brought_to_head_one_revision_at_a_time(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    result = product.run()
    assert result.get("msg") is None
    assert (result["changed"], result["before"], result["after"]) == (True, "base", "b2")
    assert [(one["revision"], one["message"]) for one in result["revisions"]] == [
        ("a1", "make a1"),
        ("b2", "make b2"),
    ]
    assert all(one["seconds"] >= 0 for one in result["revisions"])
    assert server.tables == {"users", "jobs"}


def test_second_run_changes_nothing(product: Product) -> None:
    product.table("a1", "users")
    product.run()
    result = product.run()
    assert (result["changed"], result["before"], result["after"], result["revisions"]) == (
        False,
        "a1",
        "a1",
        [],
    )


def test_new_objects_belong_to_the_owner_role(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.run()
    owners = {row[0] for row in server.rows("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'")}
    assert owners == {server.roles["owner"]}


def test_app_role_reads_the_version_table_and_cannot_write_it(server: Server, product: Product) -> None:
    product.table("a1", "users")
    result = product.run()
    assert result["rights_changed"] == [f"alembic_version: {server.roles['app']}"]
    with server.connect("app") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("a1",)]
        connection.execute("INSERT INTO users VALUES (1, 'someone')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE alembic_version SET version_num = 'x'")


def test_rights_that_someone_gave_back_are_taken_again(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.run()
    server.rows(f"GRANT UPDATE ON alembic_version TO {server.roles['app']}")
    assert product.run(check=True)["changed"]
    assert product.run()["changed"]
    assert not product.run()["changed"]


def test_target_may_be_the_beginning_of_a_revision(server: Server, product: Product) -> None:
    product.table("a1b2c3", "users")
    product.table("d4e5f6", "jobs")
    assert product.run(revision="a1b")["after"] == "a1b2c3"
    assert server.revision == ["a1b2c3"]


def test_product_runs_as_the_given_unix_user(server: Server, product: Product) -> None:
    product.add("a1", 'op.execute(f"CREATE TABLE uid_{os.getuid()} (id integer)")')
    for folder in (product.folder, *product.folder.parents):
        if folder.stat().st_uid == 0 and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o055)
    assert product.run(user="nobody").get("msg") is None
    assert server.tables == {"uid_65534"}


def test_merged_branches_are_walked_revision_by_revision(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.table("b1", "jobs")
    product.add("b2", "CREATE TABLE skills (id integer)", "DROP TABLE skills", down="a1")
    product.add("c1", "pass", down=("b1", "b2"))
    result = product.run()
    assert [one["revision"] for one in result["revisions"]] == ["a1", "b1", "b2", "c1"]
    assert result["after"] == "c1"
    back = product.run(state="downgraded", revision="a1")
    assert (back.get("msg"), back["after"], server.tables) == (None, "a1", {"users"})


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_limits_hold_whatever_the_products_driver(server: Server, product: Product, driver: str) -> None:
    product.add(
        "a1",
        """
        op.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value")
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY by_value ON seen (value)")
        op.execute("INSERT INTO seen SELECT current_setting('lock_timeout')")
        op.execute("INSERT INTO seen SELECT 'percent %'")
        """,
    )
    result = product.run(database_url=server.url(driver), lock_timeout=3)
    assert result.get("msg") is None
    assert server.rows("SELECT value FROM seen") == [("3s",), ("3s",), ("percent %",)]
