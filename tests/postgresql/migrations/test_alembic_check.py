"""Check mode: nothing happens, and what it says is what would."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from throwaway import Server

from product import Product


def schema(server: Server) -> str:
    """As pg_dump shows it, without its random lines and the roles' names."""
    dump = subprocess.run(
        ["pg_dump", "-s", "--no-owner", "--no-privileges", server.database],
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r"^\\(un)?restrict .*$", "", dump.stdout, flags=re.M)


def many_kinds(product: Product) -> None:
    """Revisions of every kind that can be rendered, branches and a merge among them."""
    product.table("a1", "users")
    product.add("b1", "op.add_column('users', sa.Column('age', sa.Integer, server_default='0'))")
    product.add(
        "b2",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('by_name', 'users', ['name'], postgresql_concurrently=True)\n"
        "op.execute(\"COMMENT ON TABLE users IS 'percent % and : colon'\")",
    )
    product.table("c1", "jobs")
    product.add("d1", "CREATE TABLE skills (id integer)", down="b2")
    product.add("e1", "op.create_check_constraint('positive', 'jobs', 'id > 0')", down=("c1", "d1"))


def test_rendered_sql_makes_the_same_schema_as_the_run(
    make_server: Callable[[], Server], tmp_path: Path
) -> None:
    real, clone = make_server(), make_server()
    product = Product(tmp_path / "product", real.url(), real.roles)
    many_kinds(product)
    plan = product.run(check=True, diff=True)
    assert plan["not_renderable"] == []
    subprocess.run(
        ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", clone.database],
        input=plan["diff"]["after"],
        text=True,
        check=True,
    )
    result = product.run()
    assert (result.get("msg"), result["after"]) == (None, plan["after"])
    assert [one["revision"] for one in result["revisions"]] == [one["revision"] for one in plan["revisions"]]
    assert schema(real) == schema(clone)
    assert clone.revision == real.revision == ["e1"]


def test_rendered_sql_starts_where_the_database_stands(server: Server, product: Product) -> None:
    many_kinds(product)
    product.run(revision="b1")
    plan = product.run(check=True, diff=True)
    assert "CREATE TABLE users" not in plan["sql"]
    assert "by_name" in plan["sql"]
    assert plan["diff"]["before_header"] == "the database at b1"
    assert plan["diff"]["after_header"] == "the database at e1"


def test_check_mode_writes_nothing(server: Server, product: Product) -> None:
    product.table("a1", "users")
    result = product.run(check=True, diff=True)
    assert (result["changed"], result["before"], result["after"]) == (True, "base", "a1")
    assert server.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


def test_without_diff_the_revisions_are_listed_and_the_product_does_not_run(product: Product) -> None:
    product.environment("raise RuntimeError('the product runs')")
    product.table("a1", "users")
    result = product.run(check=True)
    assert [one["revision"] for one in result["revisions"]] == ["a1"]
    assert "diff" not in result


def test_revision_that_asks_the_data_is_shown_as_not_renderable_and_the_others_as_sql(
    product: Product,
) -> None:
    product.table("a1", "users")
    product.add("b2", "rows = op.get_bind().execute(sa.text('SELECT count(*) FROM users')).scalar()")
    product.table("c3", "jobs")
    result = product.run(check=True, diff=True)
    assert result["not_renderable"] == ["b2"]
    assert re.search(r"^-- b2: not renderable offline \(.+\): run the rehearsal$", result["sql"], re.M)
    assert "CREATE TABLE users" in result["sql"]
    assert "CREATE TABLE jobs" in result["sql"]


def test_revision_with_an_engine_of_its_own_reaches_no_database_in_check_mode(
    server: Server, product: Product
) -> None:
    product.add(
        "a1",
        "with sa.create_engine(os.environ['DATABASE_URL']).begin() as own:\n"
        "    own.execute(sa.text('CREATE TABLE own (id integer)'))",
    )
    result = product.run(check=True, diff=True)
    assert result["not_renderable"] == ["a1"]
    assert server.tables == set()


def test_downgrade_is_rendered_too(product: Product) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    result = product.run(check=True, diff=True, state="downgraded", revision="a1")
    assert (result["before"], result["after"]) == ("b2", "a1")
    assert "DROP TABLE jobs" in result["sql"]
    assert "DROP TABLE users" not in result["sql"]


def test_release_that_is_not_staged_yet_is_named_and_is_no_failure(product: Product) -> None:
    result = product.run(check=True, diff=True, directory="/srv/nothing/here")
    assert (result.get("failed"), result["changed"]) == (None, True)
    assert result["unknown"] == [
        "/srv/nothing/here does not exist yet: the release is not staged, so its revisions are unknown."
    ]


def test_database_that_is_not_there_yet_is_taken_as_empty(server: Server, product: Product) -> None:
    product.table("a1", "users")
    result = product.run(
        check=True, diff=True, database_url=server.url().replace(server.database, "not_there")
    )
    assert (result.get("failed"), result["changed"], result["before"]) == (None, True, "base")
    assert 'database "not_there" does not exist' in result["unknown"][0]
    assert "CREATE TABLE users" in result["sql"]


def test_environment_that_is_not_there_yet_leaves_the_list(product: Product) -> None:
    product.table("a1", "users")
    result = product.run(check=True, diff=True, python="/srv/nothing/bin/python")
    assert "/srv/nothing/bin/python does not exist yet" in result["unknown"][0]
    assert '-- a1 ("make a1")' in result["sql"]


def test_what_is_missing_in_a_real_run_is_a_failure(product: Product) -> None:
    product.table("a1", "users")
    for missing in ({"directory": "/srv/nothing"}, {"python": "/srv/nothing"}, {"user": "no-such-user"}):
        result = product.run(**missing)
        assert result["failed"]
        assert "does not exist" in result["msg"]


def test_current_lists_what_an_upgrade_would_run_and_never_changes(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.run()
    product.table("b2", "jobs")
    result = product.run(state="current", python=None)
    assert (result["changed"], result["before"], result["heads"]) == (False, "a1", ["b2"])
    assert [one["revision"] for one in result["revisions"]] == ["b2"]
    assert server.revision == ["a1"]
