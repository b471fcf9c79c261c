"""PostgreSQL 15's settings from a machine's memory, CPUs, storage and kind of work.

Every formula names its source: the manual (https://www.postgresql.org/docs/15/), PGTune
(https://github.com/le0pard/pgtune), or "measured", with the figures in docs/tuning.md. Two rules stand
above them: nothing trades durability for speed, and all that may be allocated at once fits into the memory
given.

Memory is in MB of 2**20 bytes throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STORAGES = ("ssd", "hdd", "san")
WORKLOADS = ("web", "oltp", "mixed", "warehouse")
GIGABYTE = 1024
SMALLEST_MEMORY_MB = 512
LARGEST_MEMORY_MB = 4 * 1024 * GIGABYTE
MOST_CPUS = 1024
MOST_CONNECTIONS = 5000

# Less than this for a sort or a hash, and ordinary queries go to temporary files.
SMALLEST_WORK_MEM_KB = 512
# Measured: 1.4 MB of private memory under pgbench; a backend that knows a product's tables has more.
BACKEND_MB = 3
# The manual's default; it is written out because the sum below depends on it.
HASH_MEM_MULTIPLIER = 2.0


@dataclass(frozen=True)
class Machine:
    """What the settings are for.

    Attributes:
        memory_mb: memory that PostgreSQL may use, with its share of the kernel's cache, in MB. On a host
        that it shares
            with other services this is less than all.
        cpus: processors.
        storage: one of STORAGES.
        workload: one of WORKLOADS.
        max_connections: PostgreSQL's limit of connections.
    """

    memory_mb: int
    cpus: int
    storage: str = "ssd"
    workload: str = "web"
    max_connections: int = 100

    def problems(self) -> list[str]:
        """Return what is wrong with the values, one sentence each: the value, what is allowed, what to do."""
        found = []
        for name, lowest, highest, advice in (
            (
                "memory_mb",
                SMALLEST_MEMORY_MB,
                LARGEST_MEMORY_MB,
                "give the memory that PostgreSQL may use, in MB",
            ),
            ("cpus", 1, MOST_CPUS, "give the number of CPUs that PostgreSQL may use"),
            ("max_connections", 5, MOST_CONNECTIONS, "more clients than that go through pgBouncer"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
                found.append(f"{name} {value!r} is not a whole number from {lowest} to {highest}; {advice}")
        for name, allowed in (("storage", STORAGES), ("workload", WORKLOADS)):
            value = getattr(self, name)
            if value not in allowed:
                found.append(f"{name} {value!r} is not known; use one of {', '.join(allowed)}")
        if not found and work_mem_kb(self) < SMALLEST_WORK_MEM_KB:
            found.append(
                f"max_connections {self.max_connections} do not fit into memory_mb {self.memory_mb}: "
                f"at most {_most_connections(self)} do; lower it and let pgBouncer queue, or give more memory"
            )
        return found


def settings(machine: Machine) -> dict[str, str]:
    """Return the settings in postgresql.conf's own words, in the order of the manual's chapters.

    Raises:
        ValueError: if the machine has problems; all of them are named.
    """
    problems = machine.problems()
    if problems:
        raise ValueError("; ".join(problems))
    values: dict[str, Any] = {
        **memory(machine),
        **disk(machine),
        **workers(machine),
        **write_ahead_log(machine),
        **planner(machine),
        **autovacuum(machine),
    }
    return {name: str(value) for name, value in values.items()}


def memory(machine: Machine) -> dict[str, Any]:
    """Memory, manual chapter 20.4.

    huge_pages: "try" takes huge pages where the host has reserved them and does without elsewhere.
    """
    return {
        "shared_buffers": megabytes(shared_buffers_mb(machine)),
        "huge_pages": "try",
        "work_mem": kilobytes(work_mem_kb(machine)),
        "hash_mem_multiplier": HASH_MEM_MULTIPLIER,
        "maintenance_work_mem": megabytes(maintenance_work_mem_mb(machine)),
        "autovacuum_work_mem": megabytes(autovacuum_work_mem_mb(machine)),
    }


def disk(machine: Machine) -> dict[str, Any]:
    """Manual 20.4.5 and PGTune: reads ahead in bitmap scans, one a spindle, hundreds for flash."""
    return {"effective_io_concurrency": {"hdd": 2, "ssd": 200, "san": 300}[machine.storage]}


def workers(machine: Machine) -> dict[str, Any]:
    """Parallel queries, manual 20.4.6, from the number of CPUs (PGTune's formula).

    A gather takes half the CPUs at most, and where requests are short never more than stock's 2: a core
    that one query takes is missing to the others. Extensions and replication have 4 processes beside the
    parallel ones.
    """
    half = machine.cpus // 2
    widest = {"web": 2, "oltp": 2, "mixed": 4, "warehouse": 16}[machine.workload]
    return {
        "max_worker_processes": max(8, parallel_workers(machine) + 4),
        "max_parallel_workers": parallel_workers(machine),
        "max_parallel_workers_per_gather": min(half, widest),
        "max_parallel_maintenance_workers": min(half, 4),
    }


def write_ahead_log(machine: Machine) -> dict[str, Any]:
    """The write-ahead log, manual 20.5 and 30.5.

    fsync, full_page_writes, synchronous_commit: a commit that was confirmed is on disk. Never an option here.
    wal_compression: lz4 makes the log 4 times smaller for the same CPU time (measured).
    wal_buffers: stock's own formula, 1/32 of shared_buffers up to one file of the log; more did nothing
    (measured). checkpoint_timeout, max_wal_size: the first change of a page after a checkpoint logs the
    whole page, so rarer
        checkpoints log less. Sizes by workload from PGTune, but not beyond memory: a recovery reads all of
        it.
    min_wal_size: so much of the log's files is used again instead of made anew.
    """
    largest = min(
        {"web": 4, "oltp": 8, "mixed": 4, "warehouse": 16}[machine.workload] * GIGABYTE,
        steady_memory_mb(machine),
    )
    largest = max(GIGABYTE, largest // 256 * 256)
    return {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_compression": "lz4",
        "wal_buffers": megabytes(wal_buffers_mb(machine)),
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": 0.9,
        "min_wal_size": megabytes(largest // 4),
        "max_wal_size": megabytes(largest),
    }


def planner(machine: Machine) -> dict[str, Any]:
    """The planner's view of the machine, manual 20.7.

    random_page_cost: flash reads a random page about as fast as the next one (PGTune).
    effective_cache_size: shared_buffers and the kernel's cache, three quarters of memory (PGTune).
    jit: compiling pays for long queries only (manual 32.2); short ones with a large estimate get slower.
    default_statistics_target: stock, but for reports on large tables (PGTune).
    """
    warehouse = machine.workload == "warehouse"
    return {
        "random_page_cost": 4 if machine.storage == "hdd" else 1.1,
        "effective_cache_size": megabytes(steady_memory_mb(machine) * 3 // 4),
        "default_statistics_target": 500 if warehouse else 100,
        "jit": "on" if warehouse else "off",
    }


def autovacuum(machine: Machine) -> dict[str, Any]:
    """Autovacuum, manual 20.10.

    Workers: stock's 3, one more from 16 and from 32 CPUs (PGTune). They share the cost limit.
    Scale factors: stock lets a fifth of a table die before it cleans; of a million rows that is too many
    for the
        indexes that the product reads by. A tenth, and statistics at a twentieth.
    """
    return {
        "autovacuum_max_workers": autovacuum_workers(machine),
        "autovacuum_vacuum_scale_factor": 0.1,
        "autovacuum_vacuum_insert_scale_factor": 0.1,
        "autovacuum_analyze_scale_factor": 0.05,
        "autovacuum_vacuum_cost_limit": 200 if machine.storage == "hdd" else 1000,
    }


def steady_memory_mb(machine: Machine) -> int:
    """Memory rounded down (to 64 MB, from 8 GB on to 256 MB).

    The kernel's idea of a machine's memory moves by some MB with each update, and a new shared_buffers is a
    restart.
    """
    step = 64 if machine.memory_mb < 8 * GIGABYTE else 256
    return machine.memory_mb // step * step


def shared_buffers_mb(machine: Machine) -> int:
    """A quarter of memory (manual 20.4.1, PGTune), at most 32 GB: the kernel caches the rest."""
    return min(steady_memory_mb(machine) // 4, 32 * GIGABYTE)


def wal_buffers_mb(machine: Machine) -> int:
    """1/32 of shared_buffers, at most one WAL file of 16 MB (manual 20.5.1: what -1 means)."""
    return min(16, shared_buffers_mb(machine) // 32)


def maintenance_work_mem_mb(machine: Machine) -> int:
    """A 16th of memory, for a warehouse an 8th (PGTune), 32 MB to 1 GB: VACUUM 15 uses no more."""
    part = 8 if machine.workload == "warehouse" else 16
    return min(GIGABYTE, max(32, steady_memory_mb(machine) // part))


def autovacuum_work_mem_mb(machine: Machine) -> int:
    """For each worker a 64th of memory, 16 to 256 MB: 44 million dead rows a pass, 6 bytes each."""
    return min(256, max(16, steady_memory_mb(machine) // 64))


def autovacuum_workers(machine: Machine) -> int:
    """Stock's 3, and one more from 16 and from 32 CPUs (PGTune)."""
    return 3 + (machine.cpus >= 16) + (machine.cpus >= 32)


def parallel_workers(machine: Machine) -> int:
    """One a CPU, at most 64."""
    return min(machine.cpus, 64)


def fixed_memory_mb(machine: Machine) -> float:
    """What is or may be allocated beside work_mem, in MB.

    Each backend has its own page tables for the shared memory that it touches (8 bytes for 4 kB:
    shared_buffers / 512), at 100 connections a fifth of shared_buffers. A tenth of memory is kept for
    everything else.
    """
    backends = machine.max_connections * (BACKEND_MB + shared_buffers_mb(machine) / 512)
    return (
        shared_buffers_mb(machine)
        + wal_buffers_mb(machine)
        + maintenance_work_mem_mb(machine)
        + autovacuum_workers(machine) * autovacuum_work_mem_mb(machine)
        + backends
        + steady_memory_mb(machine) / 10
    )


def work_mem_kb(machine: Machine) -> int:
    """What is left for each backend and parallel worker that hashes with hash_mem_multiplier, in kB.

    PGTune's idea (three allocations for each connection) with PostgreSQL 15's own multiplier. At most 64
    MB where requests are short, 256 MB for mixed work, 1 GB for a warehouse: more makes the planner choose
    hashes that a burst of requests then pays for.
    """
    left = steady_memory_mb(machine) - fixed_memory_mb(machine)
    at_once = machine.max_connections + parallel_workers(machine)
    most = {"web": 64, "oltp": 64, "mixed": 256, "warehouse": GIGABYTE}[machine.workload] * 1024
    share = int(left * 1024 / (at_once * HASH_MEM_MULTIPLIER))
    return min(most, share // 64 * 64)


def _most_connections(machine: Machine) -> int:
    """Return how many connections the memory holds with the smallest work_mem."""
    without = Machine(machine.memory_mb, machine.cpus, machine.storage, machine.workload, 0)
    least = SMALLEST_WORK_MEM_KB / 1024 * HASH_MEM_MULTIPLIER
    left = steady_memory_mb(machine) - fixed_memory_mb(without) - parallel_workers(machine) * least
    return max(0, int(left / (BACKEND_MB + shared_buffers_mb(machine) / 512 + least)))


def megabytes(value: int) -> str:
    """Return a size in postgresql.conf's words: 1024 is "1GB"."""
    return f"{value // GIGABYTE}GB" if value % GIGABYTE == 0 else f"{value}MB"


def kilobytes(value: int) -> str:
    """Return a size in postgresql.conf's words: 4096 is "4MB"."""
    return megabytes(value // 1024) if value % 1024 == 0 else f"{value}kB"
