"""Figures of backups: the rows that are backed up, what is read of a load and of a power cut, and what is a miss."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import (  # noqa: E402
    backup_load,
    backup_rpo,
    backup_rto,
    backup_sizes,
    hosts,
    pgbench_log,
    text,
)
from scripts.benchmarks.backup_rpo import Arrival, Cuts, Loss, Row  # noqa: E402
from scripts.benchmarks.backup_sizes import Measured  # noqa: E402
from scripts.benchmarks.cluster import BenchmarkError  # noqa: E402
from scripts.benchmarks.report import Report  # noqa: E402

GB = 1_000_000_000
FIRST, SECOND, THIRD = (f"00000001000000000000000{number}" for number in (1, 2, 3))
NONE_LOST = Loss(acknowledged=1_000, rows=0, seconds=0.0)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, ROOT / "scripts" / "bench", "backup", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# The rows.


def test_rows_compress_about_as_prose_does() -> None:
    made = "".join(text.lines(4_000_000, seed=0)).encode()
    assert 2.0 < len(made) / len(zlib.compress(made)) < 4.0


def test_a_row_stays_where_postgresql_compresses_nothing_by_itself() -> None:
    assert max(map(len, text.lines(4_000_000, seed=0))) < 2_000


def test_rows_are_the_same_again_and_others_with_another_seed() -> None:
    first = list(text.lines(100_000, seed=0))
    assert first == list(text.lines(100_000, seed=0))
    assert first[0] != next(text.lines(100_000, seed=1))


# The command line.


@pytest.mark.parametrize("given", ["0", "1,x", "", "1,,2", "nan", "5000"])
def test_a_size_that_is_none_is_named_with_what_is_allowed(given: str) -> None:
    done = bench(f"--sizes={given}")
    assert done.returncode == 2
    assert f"{given!r}: sizes in GB, from 0.05 to 1000" in done.stderr


@pytest.mark.parametrize("given", ["lz4", ":compress-type=lz4", "lz4:lz4", "lz4:--compress-type=lz4"])
def test_a_variant_that_is_no_options_is_named_with_an_example(given: str) -> None:
    done = bench(f"--variant={given}")
    assert done.returncode == 2
    assert f"{given!r}: a name and options of pgBackRest, such as lz4:compress-type=lz4" in done.stderr


def test_a_number_of_rounds_that_is_none_is_refused() -> None:
    done = bench("--rounds=0")
    assert done.returncode == 2
    assert "'0': a whole number of at least 1" in done.stderr


def test_a_disk_that_is_too_small_is_told_before_a_host_is_made() -> None:
    done = bench("--sizes=1000")
    assert done.returncode == 1
    assert "1000 GB as the largest of --sizes need 3506" in done.stderr


def test_an_inventory_of_two_hosts_has_each_in_its_groups(tmp_path: Path) -> None:
    one, two = hosts.Host("one", "10.87.35.1", "bed"), hosts.Host("two", "10.87.35.2", "bed")
    inventory = hosts.write_landscape(tmp_path / "inventory", {one: ["database", "api"], two: ["backup"]})
    groups = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["children"]
    found = {group: list(value["hosts"]) for group, value in groups.items() if value["hosts"]}
    assert found == {"database": ["one"], "api": ["one"], "backup": ["two"]}


# Sizes.


def measured(size: int, **seconds: float) -> Measured:
    """What came out at a size; what is not given took 10 s, 20 s by pg_dump and pg_restore."""
    usual = {"copy": 10.0, "backup": 10.0, "restore": 10.0, "pg_dump": 20.0, "pg_restore": 20.0}
    found = Measured(
        size * GB, database_bytes=size * GB, stored_bytes=size * GB // 3, dump_bytes=size * GB // 4
    )
    found.seconds = {way: [taken] for way, taken in {**usual, **seconds}.items()}
    return found


def misses(*sizes: Measured) -> list[str]:
    """What these sizes miss."""
    report = Report("backup", "other")
    backup_sizes.judge(report, sizes)
    return report.misses


def test_sizes_that_keep_to_every_limit_miss_none() -> None:
    assert misses(measured(1), measured(1, backup=19.0, restore=19.0)) == []


@pytest.mark.parametrize(("way", "limit"), [("backup", 5.0), ("restore", 3.0)])
def test_a_way_may_take_so_many_times_as_long_as_the_copy_and_no_longer(way: str, limit: float) -> None:
    quick = {"copy": 1.0, "pg_dump": 100.0, "pg_restore": 100.0, "backup": 1.0, "restore": 1.0}
    assert misses(measured(1, **{**quick, way: limit})) == []
    (miss,) = misses(measured(1, **{**quick, way: limit + 0.1}))
    assert miss.startswith(f"{way} of 1 GB: {limit + 0.1:.2f} times as long as cp, at most {limit:.2f}")


@pytest.mark.parametrize(("way", "other"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_a_way_that_is_no_quicker_than_that_of_a_dump_is_a_miss(way: str, other: str) -> None:
    (miss,) = misses(measured(1, **{way: 20.0, other: 20.0}))
    assert miss == f"{way} of 1 GB: 1.00 times as long as {other}; it was to be quicker"


def test_a_size_without_a_dump_is_held_against_the_copy_alone() -> None:
    found = measured(1, backup=51.0)
    found.seconds |= {"pg_dump": [], "pg_restore": []}
    (miss,) = misses(found)
    assert "as long as cp" in miss
    assert not any("pg_dump" in line for line in backup_sizes.absolute([found]))


def test_megabytes_a_second_may_shrink_by_a_fifth_with_the_size_and_no_further() -> None:
    grown = {"copy": 100.0, "pg_dump": 200.0, "pg_restore": 200.0, "restore": 100.0}
    assert misses(measured(1), measured(10, **grown, backup=125.0)) == []
    (miss,) = misses(measured(1), measured(10, **grown, backup=126.0))
    assert miss.startswith("backup, MB/s at 10 GB against 1 GB: 0.79 times, at least 0.80")


def test_the_table_has_what_is_stored_beside_what_is_backed_up() -> None:
    lines = [line.split() for line in backup_sizes.absolute([measured(10)])]
    assert ["10", "GB", "backup", "1", "10.0", "1000", "10.00", "3.33", "33%"] in lines
    assert ["10", "GB", "pg_dump", "1", "20.0", "500", "10.00", "2.50", "25%"] in lines


# The load.


def lines_of(*ends: float, milliseconds: float = 1.0) -> list[str]:
    """Lines as pgbench writes them, for transactions that ended at these seconds."""
    return [f"0 1 {int(milliseconds * 1000)} 0 {int(end)} {round(end % 1 * 1e6)}" for end in ends]


def test_a_transaction_is_read_with_its_end_and_its_milliseconds() -> None:
    assert pgbench_log.transactions(["7 199 2241 0 1175850568 995598"]) == [(1175850568.995598, 2.241)]


def test_transactions_after_the_backup_do_not_count() -> None:
    found = pgbench_log.transactions(lines_of(101.0, 102.0, 103.5, 109.0))
    summed = pgbench_log.summary(found, began=100.0, ended=104.0)
    assert (summed["transactions"], summed["seconds"], summed["under_way"]) == (3, 4.0, 4.0)


def test_without_a_backup_all_transactions_count() -> None:
    found = pgbench_log.transactions(lines_of(101.0, 102.0, 110.0))
    summed = pgbench_log.summary(found, began=100.0, ended=None)
    assert (summed["transactions"], summed["seconds"], summed["under_way"]) == (3, 10.0, 0.0)


def test_the_95th_percentile_is_that_of_the_slow_ones() -> None:
    found = [(1.0, float(number)) for number in range(1, 101)]
    assert pgbench_log.summary(found, began=0.0, ended=None)["p95"] == 96.0


def test_a_backup_that_ended_early_in_the_load_is_no_measurement() -> None:
    summed = {"transactions": 10, "seconds": 4.9, "mean": 1.0, "p95": 1.0, "under_way": 4.9}
    with pytest.raises(BenchmarkError, match=r"after 4\.9 s of a load of 10: --load-seconds has to be less"):
        backup_load.load_of(summed, 10)
    assert backup_load.load_of({**summed, "seconds": 5.0}, 10).tps == 2.0


@pytest.mark.parametrize(("tps", "missed"), [(500.0, 0), (499.0, 1)])
def test_a_backup_may_take_half_of_the_transactions_and_no_more(tps: float, missed: int) -> None:
    report = Report("backup", "without")
    without, during = backup_load.Load(1_000.0, 1.0, 2.0, 0.0), backup_load.Load(tps, 2.0, 4.0, 60.0)
    backup_load.judge(report, backup_load.Rounds([without], [during]), "10 GB")
    assert len(report.misses) == missed
    assert [row.ratio for row in report.rows] == [tps / 1_000, 2.0, 2.0]


@pytest.mark.parametrize("busy", [False, True])
def test_the_script_of_a_load_is_one_that_the_shell_understands(busy: bool) -> None:
    script = backup_load.loaded("pgbench -T 1 bench_load", busy=busy)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


# The restore.


@pytest.mark.parametrize(("back", "missed"), [(900.0, 0), (900.5, 1), (float("nan"), 1)])
def test_the_service_has_to_be_back_within_a_quarter_of_an_hour(back: float, missed: int) -> None:
    report = Report("backup", "limit")
    backup_rto.judge(
        report, backup_rto.Restored(10 * GB, 500_000_000, back, 1_100.0, 110.0, 2.0, [("a task", 9.0)])
    )
    assert len(report.misses) == missed
    assert any("110 s (10%) of them are the full backup that follows" in note for note in report.notes)


# Power cuts.


def test_a_row_waits_until_the_segment_is_there_that_has_its_commit_at_the_latest() -> None:
    rows = [Row(1, 10.0, FIRST), Row(2, 20.0, SECOND), Row(3, 30.0, SECOND)]
    assert backup_rpo.waiting(rows, [], now=31.0) == 21.0
    assert backup_rpo.waiting(rows, [Arrival(FIRST, 15.0)], now=31.0) == 11.0
    assert backup_rpo.waiting(rows, [Arrival(FIRST, 15.0), Arrival(SECOND, 31.0)], now=31.0) == 0.0


def test_the_longest_wait_is_just_before_a_segment_arrives() -> None:
    rows = [
        Row(number, float(number), segment) for number, segment in ((5, FIRST), (15, SECOND), (75, THIRD))
    ]
    arrivals = [Arrival(FIRST, 16.0), Arrival(SECOND, 76.0), Arrival(THIRD, 90.0)]
    assert backup_rpo.longest_wait(rows, arrivals) == 61.0


def test_without_a_segment_nothing_is_known_of_the_longest_wait() -> None:
    report = Report("backup", "limit")
    longest = backup_rpo.longest_wait([Row(1, 1.0, FIRST)], [])
    backup_rpo.judge(report, Cuts(NONE_LOST, NONE_LOST, NONE_LOST, longest, arrivals=0))
    assert len(report.misses) == 1


def test_what_is_lost_reaches_from_the_first_row_that_is_gone_to_the_last_one() -> None:
    rows = [Row(number, 10.0 * number, FIRST) for number in range(1, 6)]
    assert backup_rpo.loss(rows, there={1, 2, 3}) == Loss(5, 2, 10.0)
    assert backup_rpo.loss(rows, there={1, 3, 4, 5}) == Loss(5, 1, 30.0)
    assert backup_rpo.loss(rows, there={1, 2, 3, 4, 5, 6}) == Loss(5, 0, 0.0)


@pytest.mark.parametrize("what", ["one_host", "kept"])
def test_one_row_that_is_lost_with_its_disk_kept_is_a_miss(what: str) -> None:
    report = Report("backup", "limit")
    cuts = {"one_host": NONE_LOST, "kept": NONE_LOST, what: Loss(1_000, 1, 0.1)}
    backup_rpo.judge(report, Cuts(**cuts, gone=Loss(1_000, 500, 50.0), longest=60.0, arrivals=3))
    (miss,) = report.misses
    assert miss.endswith("disk kept: 1 of 1,000 acknowledged rows lost; none was to be")


def test_a_minute_may_be_lost_with_the_disk_and_no_more() -> None:
    report = Report("backup", "limit")
    backup_rpo.judge(report, Cuts(NONE_LOST, NONE_LOST, Loss(1_000, 900, 60.1), longest=61.0, arrivals=3))
    assert [miss.split(":")[0].strip() for miss in report.misses] == [
        "work lost by a power cut with the disk",
        "work that is in no backup host yet, at worst",
    ]
