"""The filter postgresql_tuning: bounds, order and memory for every machine, and errors that teach."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader
from hypothesis import assume, given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
filter_loader.add_directory(str(ROOT / "plugins" / "filter"))
tuning = filter_loader.get("postgresql_tuning").j2_function
problems = filter_loader.get("postgresql_tuning_problems").j2_function

MACHINES = st.fixed_dictionaries(
    {
        "memory_mb": st.integers(512, 2 * 1024 * 1024),
        "cpus": st.integers(1, 256),
        "storage": st.sampled_from(["ssd", "hdd", "san"]),
        "workload": st.sampled_from(["web", "oltp", "mixed", "warehouse"]),
        "max_connections": st.integers(5, 1000),
    }
)
SMALL = {"memory_mb": 2048, "cpus": 2}
KILOBYTES = {"kB": 1, "MB": 1024, "GB": 1024 * 1024}


def kilobytes(size: str) -> int:
    """Read a size such as "16MB" as PostgreSQL does; anything else is a failure."""
    number, unit = re.fullmatch(r"([0-9]+)(kB|MB|GB)", size).groups()  # type: ignore[union-attr]
    return int(number) * KILOBYTES[unit]


def settings_of(machine: dict[str, Any]) -> dict[str, str]:
    assume(not problems(machine))
    result: dict[str, str] = tuning(machine)
    return result


@given(MACHINES)
def test_all_that_may_be_allocated_at_once_fits_into_memory(machine: dict[str, Any]) -> None:
    settings = settings_of(machine)
    processes = machine["max_connections"] + int(settings["max_parallel_workers"])
    total = (
        kilobytes(settings["shared_buffers"])
        + kilobytes(settings["wal_buffers"])
        + kilobytes(settings["maintenance_work_mem"])
        + kilobytes(settings["autovacuum_work_mem"]) * int(settings["autovacuum_max_workers"])
        + kilobytes(settings["work_mem"]) * float(settings["hash_mem_multiplier"]) * processes
    )
    assert total < machine["memory_mb"] * 1024 * 0.95


@given(MACHINES, st.integers(0, 1024 * 1024))
def test_more_memory_never_lowers_a_size(machine: dict[str, Any], more: int) -> None:
    smaller = settings_of(machine)
    larger = settings_of({**machine, "memory_mb": machine["memory_mb"] + more})
    lowered = [
        name
        for name, value in smaller.items()
        if re.fullmatch(r"[0-9]+(kB|MB|GB)", value) and kilobytes(larger[name]) < kilobytes(value)
    ]
    assert lowered == []


@given(MACHINES)
def test_sizes_stay_within_what_the_manual_advises(machine: dict[str, Any]) -> None:
    settings = settings_of(machine)
    memory = machine["memory_mb"] * 1024
    assert 120 * 1024 <= kilobytes(settings["shared_buffers"]) <= 0.4 * memory
    assert (
        kilobytes(settings["shared_buffers"]) < kilobytes(settings["effective_cache_size"]) <= 0.75 * memory
    )
    assert 512 <= kilobytes(settings["work_mem"]) <= 1024 * 1024
    assert kilobytes(settings["wal_buffers"]) <= 16 * 1024
    assert kilobytes(settings["maintenance_work_mem"]) <= 1024 * 1024
    assert 1024 * 1024 <= kilobytes(settings["max_wal_size"]) <= 16 * 1024 * 1024
    assert kilobytes(settings["min_wal_size"]) < kilobytes(settings["max_wal_size"])


@given(MACHINES)
def test_parallel_workers_fit_into_each_other_and_into_the_cpus(machine: dict[str, Any]) -> None:
    settings = settings_of(machine)
    all_workers = int(settings["max_parallel_workers"])
    assert int(settings["max_parallel_workers_per_gather"]) <= all_workers <= machine["cpus"]
    assert int(settings["max_parallel_maintenance_workers"]) <= all_workers
    assert all_workers < int(settings["max_worker_processes"])


@given(MACHINES)
def test_durability_is_never_traded(machine: dict[str, Any]) -> None:
    settings = settings_of(machine)
    assert {name: settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit")} == {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
    }


@given(MACHINES)
def test_every_value_is_a_string_in_postgresqls_own_words(machine: dict[str, Any]) -> None:
    for value in settings_of(machine).values():
        assert re.fullmatch(r"[0-9]+(kB|MB|GB|min)?|[0-9]+\.[0-9]+|on|off|try|lz4", value)


@given(MACHINES)
def test_a_refused_machine_is_accepted_with_the_connections_that_the_error_names(
    machine: dict[str, Any],
) -> None:
    found = problems(machine)
    assume(found)
    most = int(re.search(r"at most ([0-9]+) do", found[0]).group(1))  # type: ignore[union-attr]
    assert most >= 5
    assert problems({**machine, "max_connections": most}) == []
    assert problems({**machine, "max_connections": most + 2}) != []


@pytest.mark.parametrize("memory_mb", [3928, 3931, 3935])
def test_a_kernel_that_reports_some_megabytes_less_changes_nothing(memory_mb: int) -> None:
    assert tuning({**SMALL, "memory_mb": memory_mb}) == tuning({**SMALL, "memory_mb": 3930})


def test_storage_workload_and_connections_have_defaults() -> None:
    assert tuning(SMALL) == tuning({**SMALL, "storage": "ssd", "workload": "web", "max_connections": 100})


def test_spinning_disks_read_pages_at_stock_costs() -> None:
    assert tuning({**SMALL, "storage": "hdd"})["random_page_cost"] == "4"


def test_reports_get_more_memory_each_than_requests() -> None:
    machine = {"memory_mb": 65536, "cpus": 8, "max_connections": 50}
    sizes = [
        kilobytes(tuning({**machine, "workload": word})["work_mem"]) for word in ("web", "mixed", "warehouse")
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        ({"memory_mb": 256}, "memory_mb 256 is not a whole number from 512 to"),
        ({"memory_mb": "2048"}, "memory_mb '2048' is not a whole number"),
        ({"memory_mb": 2048.5}, "memory_mb 2048.5 is not a whole number"),
        ({"cpus": 0}, "cpus 0 is not a whole number from 1 to 1024; give the number of CPUs"),
        ({"cpus": True}, "cpus True is not a whole number"),
        ({"storage": "floppy"}, "storage 'floppy' is not known; use one of ssd, hdd, san"),
        ({"storage": ["ssd"]}, "storage ['ssd'] is not known; use one of ssd, hdd, san"),
        ({"workload": "dw"}, "workload 'dw' is not known; use one of web, oltp, mixed, warehouse"),
        (
            {"max_connections": 0},
            "max_connections 0 is not a whole number from 5 to 5000; more clients than that go through",
        ),
        ({"max_connections": 2000}, "max_connections 2000 do not fit into memory_mb 2048: at most"),
        (
            {"ram": 4},
            "'ram' is not known; give memory_mb, cpus and, if you like, storage, workload, max_connections",
        ),
    ],
)
def test_bad_input_is_refused_with_the_value_and_what_is_allowed(machine: dict[str, Any], told: str) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        tuning({**SMALL, **machine})
    assert told in str(refusal.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert (
        len(problems({"memory_mb": 1, "cpus": 0, "storage": "tape", "workload": "x", "max_connections": 1}))
        == 5
    )


def test_a_missing_value_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="cpus is missing"):
        tuning({"memory_mb": 2048})


def test_what_is_no_dictionary_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="2048 is not a dictionary; give one with memory_mb, cpus"):
        tuning(2048)
