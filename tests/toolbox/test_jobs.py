"""What jobs leave and find: figures for Prometheus, logical dumps, ages, and a lock."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolbox import dumps, job, output, verification
from toolbox.lock import LockedError, is_held, only_one
from toolbox.output import Metric

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics") / "one.prom"


@given(label=TEXT, value=st.floats(allow_nan=False))
def test_figures_are_read_as_they_were_written(file: Path, label: str, value: float) -> None:
    written = [
        Metric("bundle_size_bytes", value, "Size of it", {"kind": label}),
        Metric("bundle_up", 1, "Up"),
    ]
    output.write_metrics(file, written)
    assert output.read_metrics(file) == written


def test_file_of_figures_is_readable_by_others(tmp_path: Path) -> None:
    output.write_metrics(tmp_path / "one.prom", [Metric("bundle_up", 1, "Up")])
    assert (tmp_path / "one.prom").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["one.prom"], "nothing is left beside it"


def test_job_that_failed_keeps_the_moment_of_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "one.prom"
    job.keep_figures(path, output.Report("", metrics=[Metric("ok", 1, "Ok"), Metric("last", 100, "Last")]))
    job.keep_figures(path, output.Report("", metrics=[Metric("ok", 0, "Ok")]))
    assert {metric.name: metric.value for metric in output.read_metrics(path)} == {"ok": 0, "last": 100}


def dump(directory: Path, days_old: int) -> dumps.Dump:
    """A dump of two files, with its sums."""
    moment = NOON - timedelta(days=days_old)
    path = directory / f"shop_{moment:{dumps.FORM}}"
    path.mkdir()
    for name in ("toc.dat", "1.dat.gz"):
        (path / name).write_text(f"{name} of {days_old}")
    dumps.write_sums(path)
    return dumps.Dump(path, moment, 0)


def test_dumps_older_than_their_time_go(tmp_path: Path) -> None:
    for days in (1, 29, 30, 31, 90):
        dump(tmp_path, days)
    gone = dumps.expired(dumps.every(tmp_path), NOON, timedelta(days=30))
    assert [(NOON - one.moment).days for one in gone] == [90, 31]


def test_newest_dump_stays_however_old_it_is(tmp_path: Path) -> None:
    for days in (200, 100):
        dump(tmp_path, days)
    gone = dumps.expired(dumps.every(tmp_path), NOON, timedelta(days=30))
    assert [(NOON - one.moment).days for one in gone] == [200]


def test_unfinished_dump_is_none(tmp_path: Path) -> None:
    (tmp_path / "shop_20260106T120000Z").mkdir()
    (tmp_path / ".shop_20260106T110000Z.new").mkdir()
    assert dumps.every(tmp_path) == []


def test_whole_dump_has_no_problem(tmp_path: Path) -> None:
    dump(tmp_path, 1)
    assert verification.dumped(tmp_path) == []


def test_changed_file_of_a_dump_is_named(tmp_path: Path) -> None:
    path = dump(tmp_path, 1).path / "1.dat.gz"
    path.write_text("1.dat.gz of 2")
    (finding,) = verification.dumped(tmp_path)
    assert (finding.level, finding.message) == ("critical", f"{path} is not as it was written")


def test_missing_file_of_a_dump_is_named(tmp_path: Path) -> None:
    path = dump(tmp_path, 1).path / "toc.dat"
    path.unlink()
    (finding,) = verification.dumped(tmp_path)
    assert finding.message == f"{path} is missing"


# 6 January 2026 is a Tuesday.
@pytest.mark.parametrize(
    ("made", "found"),
    [
        ({"full": [NOON - timedelta(days=2)]}, "backup diff: stale: one was due at 2026-01-06 02:00 UTC"),
        ({"full": [NOON - timedelta(hours=9)]}, ""),
        ({"diff": [NOON - timedelta(hours=9)]}, "backup full: stale: one was due at 2026-01-04 02:00 UTC"),
        ({"full": [NOON - timedelta(days=2, hours=9)], "diff": [NOON - timedelta(hours=9)]}, ""),
        ({}, "backup full: stale: one was due at 2026-01-04 02:00 UTC, and there is none"),
    ],
)
def test_backup_that_was_due_and_is_not_there_is_stale(made: dict[str, list[datetime]], found: str) -> None:
    schedules = {"full": "0 2 * * 0", "diff": "0 2 * * 1-6", "incr": ""}
    said = verification.ages(made, schedules, NOON, timedelta(hours=4))
    text = "\n".join(f"{one.subject}: {one.message}" for one in said)
    assert found in text if found else text == ""


def test_backup_that_is_due_has_its_time_limit_to_be_made() -> None:
    made = {"full": [NOON - timedelta(days=1)]}
    due_an_hour_ago = {"full": "0 11 * * *"}
    assert verification.ages(made, due_an_hour_ago, NOON, timedelta(hours=2)) == []
    assert verification.ages(made, due_an_hour_ago, NOON, timedelta(minutes=30)) != []


def test_failed_job_is_found_by_its_figures(tmp_path: Path) -> None:
    output.write_metrics(
        tmp_path / "bundle_backup_diff.prom", [Metric("bundle_backup_success", 0, "Ok", {"kind": "diff"})]
    )
    output.write_metrics(
        tmp_path / "bundle_backup_full.prom", [Metric("bundle_backup_success", 1, "Ok", {"kind": "full"})]
    )
    assert [finding.subject for finding in verification.jobs(tmp_path, at_work=False)] == ["backup diff"]


def test_job_that_never_ended_is_found_unless_it_is_at_work(tmp_path: Path) -> None:
    output.write_metrics(
        job.backup_figures(tmp_path, "diff"), [Metric(job.BEGUN, NOON.timestamp(), "Begun", {"kind": "diff"})]
    )
    (cut,) = verification.jobs(tmp_path, at_work=False)
    assert "the one that began at 2026-01-06 12:00:00 UTC was cut off" in cut.message
    assert verification.jobs(tmp_path, at_work=True) == []


# A process of its own: a lock is not in the way of who has it.
HOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toolbox.lock import only_one
with only_one(Path(sys.argv[2]), "backup full"):
    print("held", flush=True)
    sys.stdin.read()
"""
SCRIPTS = str(Path(__file__).resolve().parents[2] / "scripts")


def test_second_holder_is_told_who_is_at_work_until_that_one_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, SCRIPTS, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match=rf"backup full is at work, as process {holder.pid} since"),
            only_one(path, "backup diff"),
        ):
            pytest.fail("two hold the lock")
        assert is_held(path)
        holder.kill()
    assert not is_held(path)
    with only_one(path, "backup diff"):
        assert json.loads(path.read_text())["purpose"] == "backup diff"
