"""Plans of the statements that routes run."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.sql import ClauseElement

from harness.cluster import Database


class Plan(NamedTuple):
    """What a statement reads, and how much of it.

    Attributes:
        sequential: tables that are read from one end to the other.
        indexes: indexes in use.
        pages: pages of 8 kB that were touched, in memory or not.
        rows: rows of the answer.
    """

    sequential: set[str]
    indexes: set[str]
    pages: int
    rows: int
    text: str


def plan_of(database: Database, statement: Executable, **values: Any) -> Plan:
    """Run the statement as the route does, as the app and with its values, and see how."""
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=dialects.dialect(), compile_kwargs={"render_postcompile": True})
    with database.connect("app", prepare_threshold=None) as connection:
        row = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}",  # type: ignore[arg-type]
            {**compiled.params, **values},
        ).fetchone()
    assert row is not None
    top = row[0][0]["Plan"]
    nodes = [*_walk(top)]
    return Plan(
        sequential={node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"},
        indexes={node["Index Name"] for node in nodes if "Index Name" in node},
        pages=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        rows=top["Actual Rows"],
        text=str(row[0]),
    )


def _walk(node: dict[str, Any]) -> Any:
    yield node
    for inner in node.get("Plans", []):
        yield from _walk(inner)
