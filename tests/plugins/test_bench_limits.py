"""Figures of the product are held against their limits: a miss is named at the end, and the command fails."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import api, wrk  # noqa: E402
from scripts.benchmarks.cluster import BenchmarkError  # noqa: E402
from scripts.benchmarks.report import Report  # noqa: E402

# What wrk 4.1 prints, and our script after it.
PRINTED = """\
Running 15s test @ https://10.87.9.30
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.71ms    2.35ms  41.02ms   88.27%
    Req/Sec   602.51     71.05   760.00     72.67%
  8996 requests in 15.00s, 61.22MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 5
Requests/sec:    599.64
Transfer/sec:      4.08MB

{"requests": 8996, "seconds": 15.002330, "failed": 3, "refused": 5, "p50": 6.3, "p95": 11.4, "p99": 15.1, "max": 41.0}
"""
FINE = wrk.Load(requests=9_000, seconds=15.0, failed=0, refused=0, p50=1.0, p95=2.0, p99=3.0, max=9.0)


def misses(
    found: dict[str, wrk.Load] | None = None,
    sizes: dict[int, wrk.Load] | None = None,
    crowd: wrk.Load = FINE,
) -> list[str]:
    """What is missed when everything else is fine."""
    report = Report("api", "at most")
    topics = dict.fromkeys((*api.LIMITS, "page 1", "page 1,000"), FINE)
    usual = {10_000: FINE, 100_000: FINE, 1_000_000: FINE}
    api.judge(report, topics | (found or {}), usual | (sizes or {}), crowd)
    return report.misses


def slower(times: float) -> wrk.Load:
    """A load whose answers took so many times as long."""
    return replace(FINE, p95=times * FINE.p95)


def test_what_keeps_to_every_limit_misses_none() -> None:
    assert misses() == []


@pytest.mark.parametrize("what", api.LIMITS)
def test_a_topic_beyond_its_limit_is_named_with_both(what: str) -> None:
    limit = api.LIMITS[what]
    assert misses({what: replace(FINE, p95=limit)}) == []
    (miss,) = misses({what: replace(FINE, p95=limit + 0.1)})
    assert miss == f"{what}, p95: {limit + 0.1:.1f} ms, at most {limit:.1f} was to be shown"


def test_the_thousandth_page_may_take_twice_as_long_as_the_first_and_no_longer() -> None:
    assert misses({"page 1,000": slower(2)}) == []
    (miss,) = misses({"page 1,000": slower(2.1)})
    assert miss.startswith("page 1,000, p95, against page 1: 4.2 ms, at most 4.0")


def test_the_list_may_grow_twofold_from_the_fewest_jobs_to_the_most_and_no_further() -> None:
    assert misses(sizes={1_000_000: slower(2)}) == []
    (miss,) = misses(sizes={1_000_000: slower(2.1)})
    assert miss.startswith("job list of 1,000,000 jobs, p95, against 10,000: 4.2 ms, at most 4.0")


@pytest.mark.parametrize(
    "crowd", [replace(FINE, failed=1), replace(FINE, refused=1), replace(FINE, requests=0)]
)
def test_one_answer_that_a_crowd_does_not_get_is_a_miss(crowd: wrk.Load) -> None:
    (miss,) = misses(crowd=crowd)
    assert miss.startswith("all clients at once")


def test_a_topic_that_was_not_measured_does_not_pass() -> None:
    with pytest.raises(KeyError, match="job list"):
        api.judge(Report("api", "at most"), {}, {10_000: FINE}, FINE)


def test_misses_come_last_and_make_the_command_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("api", "at most")
    report.at_most("fine", 25.0, 20.0, "ms")
    report.at_most("slow", 25.0, 30.0, "ms")
    report.at_least("worth", 65.0, 40.0, "times as fast")
    assert report.conclude(tmp_path / "out.json") == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "2 limits missed:",
        "  slow: 30.0 ms, at most 25.0 was to be shown",
        "  worth: 40.0 times as fast, at least 65.0 was to be shown",
    ]
    assert len(json.loads((tmp_path / "out.json").read_text())["misses"]) == 2


def test_without_a_miss_the_command_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("api", "at most")
    report.at_most("fine", 25.0, 20.0, "ms")
    report.at_least("worth", 65.0, 65.0, "times as fast")
    assert report.conclude(None) == 0
    assert "missed" not in capsys.readouterr().out


def test_a_figure_that_is_no_number_is_a_miss() -> None:
    report = Report("api", "at most")
    report.at_most("nothing", 25.0, float("nan"), "ms")
    report.at_least("nothing", 25.0, float("nan"), "times")
    assert len(report.misses) == 2


def test_figures_are_read_from_the_last_line_that_wrk_prints() -> None:
    found = wrk.parse(PRINTED)
    assert (found.requests, found.failed, found.refused) == (8996, 3, 5)
    assert (found.p50, found.p95, found.p99, found.max) == (6.3, 11.4, 15.1, 41.0)
    assert found.per_second == pytest.approx(599.64, abs=0.01)


@pytest.mark.parametrize("printed", ["", "unable to connect to 10.87.9.30:https Connection refused\n"])
def test_output_without_figures_is_not_taken_for_a_load(printed: str) -> None:
    with pytest.raises(BenchmarkError, match="wrk printed no figures"):
        wrk.parse(printed)


@pytest.mark.parametrize(("companies", "asked_for"), [(1, 1), (7, 7), (20, 20), (2_000, 20), (30_001, 21)])
def test_the_list_is_asked_for_whole_and_by_every_kind_and_place_and_some_companies(
    companies: int, asked_for: int
) -> None:
    paths = api.list_paths(companies)
    assert {token for _, token in paths} == {""}
    assert len({path for path, _ in paths}) == len(paths)
    assert all(urlsplit(path).path == "/api/jobs" for path, _ in paths)
    queries = [parse_qs(urlsplit(path).query) for path, _ in paths]
    assert {} in queries
    both = [(query["location_type"][0], query["job_type"][0]) for query in queries if len(query) == 2]
    assert sorted(both) == sorted((place, kind) for place in api.PLACES for kind in api.KINDS)
    ids = [int(query["company_id"][0]) for query in queries if "company_id" in query]
    assert (len(ids), min(ids), max(ids) <= companies) == (asked_for, 1, True)
