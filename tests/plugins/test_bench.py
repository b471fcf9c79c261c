"""The benchmarks measure what they say: the same packages and settings on both sides, figures read as
printed.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmarks import cluster, contenders, hosts, report  # noqa: E402

BENCH = ROOT / "scripts" / "bench"
RECAP = """\
PLAY RECAP *********************************************************************
local1                     : ok=61   changed=2    unreachable=0    failed=0    skipped=9
other                      : ok=3    changed=1    unreachable=0    failed=0    skipped=9

TASKS RECAP ********************************************************************
base : install | Install the packages of every role in one transaction ------- 22.31s
preflight | Collect the problems of every host -------------------------------- 1.02s
postgresql : configure | Make the cluster, with data checksums ---------------- 3.40s
"""


def defaults(role: str) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    return loaded


def test_our_side_of_pgbench_carries_all_that_the_role_adds_to_see_what_the_server_does() -> None:
    template = (ROOT / "roles/postgresql/templates/bundle.conf.j2").read_text()
    added = dict(re.findall(r"^  '([a-z_.]+)': (.+),$", template, re.MULTILINE))
    watching = {
        name: value
        for name, value in added.items()
        if name.startswith(("log_", "pg_stat_", "auto_explain", "track_", "shared_preload"))
        and name not in {"log_line_prefix", "log_timezone"}
    }
    values = defaults("postgresql")
    expected = {name: str(values.get(value, value)).strip("'") for name, value in watching.items()}
    assert expected == contenders.OBSERVATION


def test_by_hand_installs_the_packages_that_the_roles_install() -> None:
    script = (ROOT / "scripts/benchmarks/by_hand.sh").read_text()
    listed = re.search(r'^PACKAGES="(.*?)"', script, re.MULTILINE | re.DOTALL)
    assert listed
    (preflight,) = yaml.safe_load((ROOT / "playbooks/preflight.yml").read_text())
    by_group: dict[str, list[str]] = preflight["vars"]["roles_by_group"]
    roles = {role for group in ("all", *hosts.GROUPS) for role in by_group.get(group, [])}
    wanted = {package for role in roles for package in defaults(role).get(f"{role}_packages", [])}  # type: ignore[attr-defined]
    assert set(listed.group(1).split()) == wanted


def test_a_round_that_was_slow_for_both_sides_does_not_move_the_ratio() -> None:
    row = report.compare("select-only", [100.0, 10.0, 100.0], [120.0, 12.0, 125.0], "tps")
    assert (row.ratio, row.lowest, row.highest) == pytest.approx((1.2, 1.2, 1.25))


def test_sides_with_different_numbers_of_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="1 measurements of the baseline and 2 of ours"):
        report.compare("select-only", [1.0], [1.0, 2.0], "tps")


def test_the_table_has_a_line_for_each_comparison_and_the_notes_below() -> None:
    text = report.Report("x", "stock", [report.compare("reads", [2.0], [3.0], "s")], ["a note"]).table()
    assert [line.split() for line in text.splitlines()] == [
        ["what", "stock", "ours", "unit", "ratio", "spread"],
        ["reads", "2.0", "3.0", "s", "1.50", "1.50-1.50"],
        ["a", "note"],
    ]


def test_changed_tasks_of_all_hosts_are_counted() -> None:
    assert hosts.changed(RECAP) == 3


def test_a_run_without_a_recap_is_not_taken_for_one_that_changed_nothing() -> None:
    with pytest.raises(cluster.BenchmarkError, match="no recap"):
        hosts.changed("ERROR! the playbook could not be found")


def test_tasks_are_listed_slowest_first_with_their_seconds() -> None:
    assert [seconds for _, seconds in hosts.task_seconds(RECAP)] == [22.31, 3.4, 1.02]
    assert hosts.task_seconds(RECAP)[2][0] == "preflight | Collect the problems of every host"


@pytest.mark.parametrize("text", ["lz4", "lz4:", "stock:jit=on", "Big One:jit=on"])
def test_a_variant_of_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(cluster.BenchmarkError, match="such as lz4:wal_compression=lz4"):
        contenders.parse_variant(text)


def test_a_variant_may_change_several_settings() -> None:
    assert contenders.parse_variant("small:jit=on,work_mem=1MB") == (
        "small",
        {"jit": "on", "work_mem": "1MB"},
    )


def test_a_directory_in_memory_is_refused() -> None:
    done = subprocess.run(
        [BENCH, "pgbench", "--directory", "/dev/shm"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "/dev/shm is in memory (tmpfs). Give --directory one on a disk" in done.stderr


def test_a_machine_that_cannot_be_tuned_for_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [BENCH, "pgbench", "--memory", "100", "--directory", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "memory_mb 100 is not a whole number from 512" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_benchmark_leaves_no_process_and_no_file() -> None:
    with subprocess.Popen(
        [BENCH, "pgbench", "--scale", "1", "--rounds", "99", "--seconds", "60", "--warm-up", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout
        assert running.stdout.readline().startswith("filling pgbench's tables")
        place = f"{cluster.PREFIX}{running.pid}-"
        assert list(Path("/var/tmp").glob(f"{place}*"))
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "everything is cleaned up" in errors
    assert list(Path("/var/tmp").glob(f"{place}*")) == []
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if place.encode() in command]
