"""Who is compared: PostgreSQL as Debian ships it, with our settings, and with variants of ours."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from types import ModuleType
from typing import Any

from scripts.benchmarks.cluster import BenchmarkError
from scripts.support.paths import ROOT

STOCK = "stock"
OURS = "ours"
# What the role postgresql adds to be able to see what the server does. It costs a little, so it belongs
# into the comparison; tests/plugins/test_bench.py compares it with the role's template.
OBSERVATION = {
    "shared_preload_libraries": "pg_stat_statements,auto_explain",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.max": "10000",
    "auto_explain.log_min_duration": "2s",
    "auto_explain.log_nested_statements": "on",
    "track_io_timing": "on",
    "log_min_duration_statement": "500ms",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_temp_files": "10MB",
    "log_autovacuum_min_duration": "10s",
}


def contenders(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Return everyone's settings by name, stock and ours first.

    Raises:
        BenchmarkError: if the machine or a variant in the options is wrong.
    """
    ours = {**our_settings(options), **OBSERVATION}
    variants = {name: {**ours, **changes} for name, changes in map(parse_variant, options.variant)}
    return {STOCK: {}, OURS: ours, **variants}


def our_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return what the tuning filter makes of the machine in the options."""
    formulas = load_formulas()
    machine = formulas.Machine(
        memory_mb=options.memory,
        cpus=options.cpus,
        storage=options.storage,
        workload=options.workload,
        max_connections=100,
    )
    try:
        settings: dict[str, str] = formulas.settings(machine)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    return settings


def load_formulas() -> ModuleType:
    """Import the formulas as a module of their own: the benchmark needs no Ansible."""
    sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))
    return importlib.import_module("postgresql_formulas")


def parse_variant(text: str) -> tuple[str, dict[str, str]]:
    """Split "NAME:SETTING=VALUE,SETTING=VALUE".

    Raises:
        BenchmarkError: if it has another form.
    """
    name, _, rest = text.partition(":")
    changes: dict[str, Any] = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
    if not re.fullmatch(r"[a-z0-9_]+", name) or not changes or name in {STOCK, OURS}:
        raise BenchmarkError(
            f'--variant "{text}" is not NAME:SETTING=VALUE[,SETTING=VALUE…], such as lz4:wal_compression=lz4'
        )
    return name, changes


def memory_mb() -> int:
    """Return this machine's memory in MB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
