"""The benchmarks of statements and of the server read what PostgreSQL and the kernel print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import plans, queries, server  # noqa: E402
from scripts.benchmarks.report import Report  # noqa: E402


def plan(*reads: dict[str, Any]) -> dict[str, Any]:
    """A plan as EXPLAIN (FORMAT JSON) prints it, with these nodes below a limit and a join."""
    join = {"Node Type": "Nested Loop", "Plans": [*reads]}
    return {"Plan": {"Node Type": "Limit", "Plans": [join]}, "Execution Time": 1.25}


BY_INDEX = {"Node Type": "Index Scan", "Index Name": "idx_a", "Relation Name": "jobs"}
WHOLE = {"Node Type": "Seq Scan", "Relation Name": "candidates"}
WHOLE_AND_SMALL = {"Node Type": "Seq Scan", "Relation Name": "companies"}


def test_a_plan_is_told_by_what_it_reads_and_how() -> None:
    assert plans.in_one_line(plan(BY_INDEX, WHOLE)) == "Index Scan idx_a of jobs, Seq Scan of candidates"


@pytest.mark.parametrize("node", ["Seq Scan", "Parallel Seq Scan"])
def test_a_growing_table_that_is_read_whole_is_found_however_deep(node: str) -> None:
    assert plans.read_whole(plan(BY_INDEX, {**WHOLE, "Node Type": node})) == {"candidates"}


def test_an_index_and_a_table_that_stays_small_are_no_reason_to_complain() -> None:
    assert plans.read_whole(plan(BY_INDEX, WHOLE_AND_SMALL)) == set()


def test_a_ratio_below_what_was_promised_is_a_miss() -> None:
    report, sides = Report("queries", "without"), (queries.Side("SELECT 1"), queries.Side("SELECT 2"))
    queries.tell(report, queries.Comparison("fine", *sides, limit=65.0), [(650.0, 10.0)])
    queries.tell(report, queries.Comparison("not promised", *sides), [(10.0, 10.0)])
    assert report.misses == []
    queries.tell(report, queries.Comparison("slow", *sides, limit=65.0), [(640.0, 10.0)])
    assert report.misses == ["slow: 64.0 × as fast, at least 65.0 was to be shown"]


def test_the_cpu_time_of_a_process_is_read_behind_a_name_with_blanks_and_brackets() -> None:
    stat = "77 (uvicorn (a b)) S 1 77 77 0 -1 4194560 900 0 0 0 1234 66 5 6 20 0 3 0 100 0 0"
    assert server.used_ticks(stat) == 1300


def test_rates_are_compared_with_the_bare_framework_and_workers_with_one() -> None:
    rates = {what: [server.Rate(100.0, 500.0)] * 2 for what in {**server.ONE_CORE, **server.BOTH_CORES}}
    rates[server.LIMIT] = [server.Rate(2_000.0, 10_000.0)] * 2
    rates["job list, 2 workers"] = [server.Rate(180.0, 490.0)] * 2
    report = Report("server", server.LIMIT)
    server.tell(report, rates)
    ratios = {row.what: row.ratio for row in report.rows}
    assert ratios["job list"] == pytest.approx(0.05)
    assert ratios["job list, 2 workers, both cores, against one"] == pytest.approx(1.8)
    assert len(report.rows) == len(rates) - 1
