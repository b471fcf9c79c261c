"""What is refused before anything is touched, with what to do."""

from __future__ import annotations

import pytest
from throwaway import Server

from product import Product


def test_revision_unknown_to_the_release_is_refused(server: Server, product: Product) -> None:
    product.table("a1b2", "users")
    product.run()
    server.rows("UPDATE alembic_version SET version_num = 'a1b3'")
    for check in (False, True):
        result = product.run(check=check)
        assert result["failed"]
        assert "the database stands at a1b3, which " in result["msg"]
        assert 'the nearest are a1b2 ("make a1b2")' in result["msg"]
        assert "go back to this one: playbooks/rollback.yml -e release_to=…" in result["msg"]


def test_two_heads_are_named_with_the_command_that_joins_them(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.table("b1", "jobs")
    product.add("b2", "CREATE TABLE skills (id integer)", down="a1")
    result = product.run()
    assert 'the release has 2 heads: b1 ("make b1"), b2 ("make b2")' in result["msg"]
    assert 'alembic merge -m "merge" b1 b2' in result["msg"]
    assert server.tables == set()


def test_release_with_two_heads_can_still_be_looked_at(product: Product) -> None:
    product.table("a1", "users")
    product.add("b1", "pass", down="a1")
    product.add("b2", "pass", down="a1")
    result = product.run(state="current")
    assert (result.get("failed"), result["heads"]) == (None, ["b1", "b2"])


def test_downgrade_that_does_nothing_is_refused(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "CREATE TABLE jobs (id integer)", "pass")
    product.run()
    result = product.run(state="downgraded", revision="a1")
    assert 'there is no way back through b2 ("make b2")' in result["msg"]
    assert server.revision == ["b2"]


def test_downgrade_that_is_allowed_to_do_nothing_goes_through(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "INSERT INTO users VALUES (1, 'Ada')", "pass")
    product.run()
    result = product.run(state="downgraded", revision="a1", allow_empty_downgrade=True)
    assert (result.get("msg"), server.revision) == (None, ["a1"])


def test_downgrade_that_returns_and_leaves_the_version_is_a_failure(server: Server, product: Product) -> None:
    product.table("a1", "users")
    product.add("b2", "CREATE TABLE jobs (id integer)", "DROP TABLE jobs")
    product.run()
    product.environment("print('an env.py that does nothing')")
    result = product.run(state="downgraded", revision="a1")
    assert 'Downgrade of b2 ("make b2") ended without an error, but did not do it.' in result["msg"]
    assert (server.revision, server.tables) == (["b2"], {"users", "jobs"})


def test_downgrade_goes_back_one_revision_at_a_time_and_then_changes_nothing(
    server: Server, product: Product
) -> None:
    for id_, table in (("a1", "users"), ("b2", "jobs"), ("c3", "skills")):
        product.table(id_, table)
    product.run()
    result = product.run(state="downgraded", revision="a1")
    assert [one["revision"] for one in result["revisions"]] == ["c3", "b2"]
    assert (result["before"], result["after"], server.tables) == ("c3", "a1", {"users"})
    assert not product.run(state="downgraded", revision="a1")["changed"]
    assert product.run(state="downgraded", revision="base")["after"] == "base"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"revision": "-1"}, 'revision "-1" is relative'),
        ({"revision": "zz"}, 'revision "zz" is not in this release; known are b2'),
        ({"revision": "a1"}, "is beyond a1"),
        ({"state": "downgraded"}, "needs the revision to go back to"),
        ({"database_url": "mysql://u:p@h/d"}, 'is for "mysql"'),
        ({"database_url": "nonsense"}, "is no SQLAlchemy URL"),
        ({"config": "other.ini"}, 'there is no "other.ini" in '),
        ({"app_roles": ["nobody_such"], "revision": "b2"}, "is no role of this database server"),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(
    product: Product, parameters: dict[str, object], message: str
) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    result = product.run(**parameters)
    assert result["failed"]
    assert message in result["msg"]
