"""second-run: site.yml again on a finished host. Nothing may change; the seconds, and where they go, by
task.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host, changed, fresh_hosts, playbook, task_seconds, write_inventory
from scripts.benchmarks.report import Report, compare

SUMMARY = "site.yml again on a finished host: seconds in all and by task, nothing changed"
LIMIT_SECONDS = 60.0
HOST = Host("site1", "10.87.9.20")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=3, help="runs to time (default 3)")
    parser.add_argument("--tasks", type=int, default=20, help="slowest tasks to print (default 20)")
    parser.add_argument(
        "--inventory", type=Path, help="a finished landscape, e.g. inventories/local; default: a new host"
    )


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if the playbook fails or changes something.
    """
    with tempfile.TemporaryDirectory(prefix="bench-second-run-") as name:
        work = Path(name)
        if options.inventory:
            return repeat(options, options.inventory.resolve(), work / "cache")
        with fresh_hosts(HOST):
            inventory = write_inventory(work / "inventories", HOST)
            seconds, _ = playbook(inventory, work / "cache", "site.yml")
            print(f"first run, from a bare host: {seconds:.1f} s", flush=True)
            return repeat(options, inventory, work / "cache")


def repeat(options: argparse.Namespace, inventory: Path, cache: Path) -> Report:
    """Run site.yml `--rounds` times on a finished landscape."""
    report = Report("second-run", "at most")
    totals: list[float] = []
    tasks: list[tuple[str, float]] = []
    for number in range(options.rounds):
        seconds, output = playbook(inventory, cache, "site.yml")
        if changed(output):
            lines = "\n".join(line for line in output.splitlines() if line.startswith("changed:"))
            raise BenchmarkError(f"run {number + 1} changed {changed(output)} tasks; none was to:\n{lines}")
        totals.append(seconds)
        tasks = task_seconds(output)
        print(f"run {number + 1}/{options.rounds}  {seconds:.1f} s, changed=0", flush=True)
    report.rows.append(compare("site.yml again", [LIMIT_SECONDS] * len(totals), totals, "s"))
    in_tasks = sum(seconds for _, seconds in tasks)
    report.notes.append(
        f"in the last run {len(tasks)} tasks took {in_tasks:.1f} s of {totals[-1]:.1f} s; the slowest:"
    )
    report.notes += [f"  {seconds:6.2f} s  {task}" for task, seconds in tasks[: options.tasks]]
    report.details |= {"seconds": totals, "tasks": tasks}
    return report
