"""PostgreSQL 15 itself reads what the tuning filter writes, for machines of many sizes."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import filter_loader

ROOT = Path(__file__).parents[2]
POSTGRES = Path("/usr/lib/postgresql/15/bin/postgres")
filter_loader.add_directory(str(ROOT / "plugins" / "filter"))
tuning = filter_loader.get("postgresql_tuning").j2_function

SIZES = [(512, 1, 40), (2048, 2, 100), (16384, 8, 100), (65536, 16, 300), (1048576, 128, 1000)]
MACHINES = [
    {
        "memory_mb": memory,
        "cpus": cpus,
        "max_connections": connections,
        "storage": storage,
        "workload": workload,
    }
    for (memory, cpus, connections), storage, workload in itertools.product(
        SIZES, ("ssd", "hdd", "san"), ("web", "oltp", "mixed", "warehouse")
    )
]


def read(configuration: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Let the server read its configuration, every value of it, and print one setting in its own unit.

    -C comes first: then the server stops after reading, which it also does for root.
    """
    return subprocess.run(
        [POSTGRES, "-C", name, "-D", configuration.parent, "-c", f"config_file={configuration}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(map(str, machine.values())))
def test_the_server_takes_every_value(machine: dict[str, Any], tmp_path: Path) -> None:
    configuration = tmp_path / "postgresql.conf"
    lines = {**tuning(machine), "max_connections": machine["max_connections"]}
    configuration.write_text("".join(f"{name} = '{value}'\n" for name, value in lines.items()))
    answer = read(configuration, "min_wal_size")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", sorted(tuning(MACHINES[0])))
def test_the_server_would_refuse_a_wrong_value_of_each_setting(name: str, tmp_path: Path) -> None:
    configuration = tmp_path / "postgresql.conf"
    lines = {**tuning(MACHINES[0]), name: "nonsense"}
    configuration.write_text("".join(f"{setting} = '{value}'\n" for setting, value in lines.items()))
    answer = read(configuration, "min_wal_size")
    assert answer.returncode != 0
    assert name in answer.stderr
