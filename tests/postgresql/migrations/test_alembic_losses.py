"""What a downgrade drops is kept in files before its first statement."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from throwaway import Server

from product import Product


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the rows are to be kept."""
    return tmp_path / "kept"


def content(place: Path, table: str) -> list[dict[str, str]]:
    """The rows that were kept of a table."""
    with gzip.open(place / f"public.{table}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def down(product: Product, place: Path, revision: str = "a1", **more: Any) -> dict[str, Any]:
    return product.run(state="downgraded", revision=revision, keep_lost_rows=str(place), **more)


def test_the_rows_of_a_dropped_table_are_kept(server: Server, product: Product, place: Path) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    server.rows("""INSERT INTO jobs VALUES (1, 'a "quoted", name'), (2, E'two\\nlines'), (3, NULL)""")
    result = down(product, place)
    assert (result["after"], result["kept_rows"][0]["table"], result["kept_rows"][0]["rows"]) == (
        "a1",
        "public.jobs",
        3,
    )
    assert content(place, "jobs") == [
        {"id": "1", "name": 'a "quoted", name'},
        {"id": "2", "name": "two\nlines"},
        {"id": "3", "name": ""},
    ]


def test_of_a_dropped_column_the_key_and_the_values_are_kept(
    server: Server, product: Product, place: Path
) -> None:
    product.table("a1", "users")
    product.add("b2", "ALTER TABLE users ADD COLUMN email text", "ALTER TABLE users DROP COLUMN email")
    product.run()
    server.rows("INSERT INTO users VALUES (1, 'with', 'a@example.com'), (2, 'without', NULL)")
    result = down(product, place)
    assert [(one["columns"], one["rows"]) for one in result["kept_rows"]] == [(["email"], 1)]
    assert content(place, "users") == [{"id": "1", "email": "a@example.com"}]


def test_an_overwritten_table_is_kept_whole(server: Server, product: Product, place: Path) -> None:
    product.table("a1", "users")
    product.add("b2", "SELECT 1", "UPDATE users SET name = upper(name)")
    product.run()
    server.rows("INSERT INTO users VALUES (1, 'Ada')")
    down(product, place)
    assert content(place, "users") == [{"id": "1", "name": "Ada"}]


def test_nothing_is_written_where_nothing_is_lost(server: Server, product: Product, place: Path) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    assert down(product, place)["kept_rows"] == []
    assert not place.exists()


def test_all_tables_are_kept_when_nobody_can_read_what_the_downgrade_does(
    server: Server, product: Product, place: Path
) -> None:
    product.table("a1", "users")
    product.add(
        "b2",
        "SELECT 1",
        """
        for (name,) in op.get_bind().execute(sa.text("SELECT name FROM users")).fetchall():
            op.execute(sa.text("DELETE FROM users WHERE name = :name").bindparams(name=name))
        """,
    )
    product.run()
    server.rows("INSERT INTO users VALUES (1, 'Ada')")
    result = down(product, place)
    assert [one["table"] for one in result["kept_rows"]] == ["public.users"]
    assert content(place, "users") == [{"id": "1", "name": "Ada"}]


def test_nothing_is_undone_when_the_rows_cannot_be_kept(
    server: Server, product: Product, tmp_path: Path
) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    server.rows("INSERT INTO jobs VALUES (1, 'one')")
    (tmp_path / "file").write_text("in the way")
    result = down(product, tmp_path / "file" / "kept")
    assert "nothing was undone" in result["msg"]
    assert server.revision == ["b2"]
    assert server.rows("SELECT count(*) FROM jobs") == [(1,)]


def test_others_cannot_read_what_was_kept(server: Server, product: Product, place: Path) -> None:
    product.table("a1", "users")
    product.table("b2", "jobs")
    product.run()
    server.rows("INSERT INTO jobs VALUES (1, 'one')")
    down(product, place)
    assert place.stat().st_mode & 0o077 == 0
    assert [(path.name, path.stat().st_mode & 0o077) for path in place.glob("*.gz")] == [
        ("public.jobs.csv.gz", 0)
    ]
    assert json.loads((place / "kept.json").read_text())[0]["file"] == "public.jobs.csv.gz"
