"""What `scripts/bench backup` fills a database with, and what it reads of pgbench's log, by a real PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import backup_rows, pgbench_log, text  # noqa: E402
from scripts.benchmarks.cluster import BIN, Cluster, run, workspace  # noqa: E402

WANTED = 20_000_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster on the disk."""
    with workspace(Path("/var/tmp")) as base:
        made = Cluster(base, "rows")
        made.create()
        made.configure({})
        made.start()
        yield made
        made.stop()


def test_a_table_has_about_the_size_that_was_asked_for_and_two_indexes(cluster: Cluster) -> None:
    lines = list(text.lines(3_000_000, seed=0))
    place = cluster.socket / "text"
    run("mkdir", place)
    (place / "rows").write_text("".join(lines))
    statements = cluster.socket / "table.sql"
    statements.write_text(
        backup_rows.table("public.letters", WANTED, len(lines), sum(map(len, lines)), str(place))
    )
    run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", cluster.socket, "-f", statements, "postgres")
    size = int(cluster.sql("SELECT pg_total_relation_size('letters')"))
    assert abs(size - WANTED) < 0.1 * WANTED
    assert cluster.sql("SELECT count(*) FROM pg_index WHERE indrelid = 'letters'::regclass") == "2"
    assert (
        cluster.sql(
            "CREATE EXTENSION pg_visibility; SELECT all_frozen * 8192 = pg_relation_size('letters')"
            " FROM pg_visibility_map_summary('letters')"
        )
        == "t"
    )


def test_the_log_of_pgbench_has_a_line_for_each_transaction(cluster: Cluster) -> None:
    logs = cluster.socket / "logs"
    run("mkdir", logs)
    run(BIN / "pgbench", "-h", cluster.socket, "-i", "-q", "postgres")
    run(
        BIN / "pgbench",
        "-h",
        cluster.socket,
        "-n",
        "-c",
        "2",
        "-t",
        "50",
        "--log",
        f"--log-prefix={logs}/log",
        "postgres",
    )
    found = [
        one for path in logs.glob("log.*") for one in pgbench_log.transactions(path.read_text().splitlines())
    ]
    summed = pgbench_log.summary(found, began=min(moment for moment, _ in found), ended=None)
    assert summed["transactions"] == 100
    assert 0 < summed["mean"] <= summed["p95"] * 100
