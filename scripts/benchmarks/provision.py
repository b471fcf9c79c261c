"""provision: site.yml from a bare host to a healthy API, against a plain shell script that does the same
by hand.

Both hosts are booted from the same image before each round, one after the other is provisioned, and every
second round begins with the other one. The wheels are fetched beforehand for both (--cold: by both).
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from scripts.benchmarks.hosts import (
    Host,
    build_release,
    fresh_hosts,
    playbook,
    task_seconds,
    timed,
    write_inventory,
)
from scripts.benchmarks.report import Report, compare
from scripts.support.paths import ROOT, VENV

SUMMARY = "site.yml on a bare host against the same by hand: seconds until the API answers over TLS"
BY_HAND = ROOT / "scripts" / "benchmarks" / "by_hand.sh"
HAND = Host("hand1", "10.87.9.10")
SITE = Host("site1", "10.87.9.20")
PASSWORDS = (
    "MIGRATOR",
    "APP",
    "READONLY",
    "MONITOR",
    "BACKUP",
    "PGBOUNCER_AUTH",
    "PGBOUNCER_ADMIN",
    "PGBOUNCER_STATS",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--ref", default="HEAD", help="version of the application for both (default HEAD)")
    parser.add_argument(
        "--cold", action="store_true", help="both fetch the application's wheels in every round"
    )
    parser.add_argument("--keep", action="store_true", help="leave the last round's hosts running")


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if a host does not boot, or one of the two ways fails.
    """
    by_hand: list[float] = []
    by_site: list[float] = []
    report = Report("provision", "by hand")
    with tempfile.TemporaryDirectory(prefix="bench-provision-") as name:
        work = Path(name)
        inventory = write_inventory(work / "inventories", SITE)
        for number in range(options.rounds):
            with fresh_hosts(HAND, SITE, keep=options.keep and number == options.rounds - 1):
                if options.cold:
                    shutil.rmtree(work / "cache", ignore_errors=True)
                elif number == 0:
                    build_release(inventory, work / "cache")
                    fetch_wheels(work / "cache" / "wheels", options.ref)
                # Both install the packages from downloaded wheels in every round; a release that was built before, as
                # the second environment finds it, would spare site.yml that.
                shutil.rmtree(work / "cache" / "gitops-bundle" / "releases", ignore_errors=True)
                output = ""
                for way in ("hand", "site") if number % 2 == 0 else ("site", "hand"):
                    if way == "hand":
                        by_hand.append(provision_by_hand(work / "cache" / "wheels", options.ref))
                    else:
                        seconds, output = playbook(
                            inventory, work / "cache", f"--extra-vars=release_ref={options.ref}", "site.yml"
                        )
                        by_site.append(seconds)
                differences = package_differences()
            progress = f"by hand {by_hand[-1]:.1f} s  site.yml {by_site[-1]:.1f} s"
            print(f"round {number + 1}/{options.rounds}  {progress}", flush=True)
    report.rows.append(compare("from bare to healthy", by_hand, by_site, "s"))
    tasks = task_seconds(output)
    report.notes.append("where site.yml's time went in the last round:")
    report.notes += [f"  {seconds:6.1f} s  {task}" for task, seconds in tasks[:15]]
    report.notes.append(f"packages on one host only: {', '.join(differences) or 'none'}")
    report.details |= {
        "by_hand": by_hand,
        "site": by_site,
        "tasks": tasks,
        "package_differences": differences,
    }
    return report


def provision_by_hand(wheels: Path, ref: str) -> float:
    """Provision the first host by the shell script; return the seconds."""
    seconds, _ = timed([BY_HAND, HAND.name, ref], "the shell script failed", hand_environment(wheels))
    return seconds


def fetch_wheels(wheels: Path, ref: str) -> None:
    """Fetch the wheels that the shell script will send."""
    timed([BY_HAND, "fetch", ref], "the wheels cannot be fetched", hand_environment(wheels))


def hand_environment(wheels: Path) -> dict[str, str]:
    """Return the shell script's environment, with new passwords."""
    return {
        **os.environ,
        **{f"{name}_PASSWORD": secrets.token_hex(20) for name in PASSWORDS},
        "JWT_SECRET": secrets.token_hex(32),
        "SSH_CONFIG": str(HAND.ssh_config),
        "ADDRESS": HAND.address,
        "WHEELS": str(wheels),
        "PYTHON": str(VENV / "bin" / "python"),
    }


def package_differences() -> list[str]:
    """Return the packages that only one of the two hosts has: the comparison is fair when there are none."""
    query = "dpkg-query -W -f '${Package}\\n'"
    return sorted(set(HAND.run(query).split()) ^ set(SITE.run(query).split()))
