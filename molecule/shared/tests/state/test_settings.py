"""PostgreSQL's settings, as the server says that they are in force."""

from __future__ import annotations

import importlib.util
import re

import pytest

from shared.landscape import ROOT
from shared.machine import Machine
from shared.sql import Endpoints, SqlError

QUERY_CANCELED = "57014"
UNITS = {"kB": 1024, "MB": 1024**2, "GB": 1024**3, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
SAFE = {
    "data_checksums": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "ssl": "on",
    "password_encryption": "scram-sha-256",
    "shared_preload_libraries": "pg_stat_statements,auto_explain",
    "track_io_timing": "on",
    "TimeZone": "UTC",
}
ROLE_SETTINGS = (
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "1min"),
)


def tuned(database: Machine, sql: Endpoints) -> dict[str, str]:
    """What the filter gives for the host of the inventory."""
    spec = importlib.util.spec_from_file_location(
        "tuning", ROOT / "plugins" / "filter" / "postgresql_tuning.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    machine = {
        "memory_mb": int(sql.landscape.value("postgresql_memory_mb")),
        "cpus": int(database.sh("nproc")),
        "max_connections": int(sql.landscape.value("bundle_max_connections")),
    }
    return dict(module.postgresql_tuning(machine))


def quantity(text: str, unit: str = "") -> float | str:
    """A setting as a number of bytes or milliseconds, whatever its unit; a word stays a word.

    `unit` is that of pg_settings, for example 8kB, for a plain number.
    """
    found = re.fullmatch(r"(-?[\d.]+)([a-zA-Z]*)", text)
    if not found:
        return text
    number, own = found.groups()
    pages = re.fullmatch(r"(\d*)([a-zA-Z]*)", "" if own else unit)
    factor, name = (pages[1], pages[2]) if pages else ("", "")
    return float(number) * int(factor or 1) * UNITS.get(own or name, 1)


def test_postgresql_runs_and_starts_at_boot(database: Machine) -> None:
    database.must_run("postgresql@15-main")


def test_there_is_one_cluster_and_it_is_ours(database: Machine) -> None:
    (cluster,) = database.sh("pg_lsclusters --no-header").splitlines()
    assert cluster.split()[:4] == ["15", "main", "5432", "online"]


def test_the_tuning_is_in_force(database: Machine, sql: Endpoints) -> None:
    rows = sql.superuser("SELECT name, setting, coalesce(unit, '') FROM pg_settings").splitlines()
    server = {
        name: (setting, unit)
        for name, setting, unit in (row.rsplit("|", 2) for row in rows if row.count("|") == 2)
    }
    wanted = tuned(database, sql)
    assert "shared_buffers" in wanted
    differing = {
        name: f"{server[name]}, not {value}"
        for name, value in wanted.items()
        if quantity(server[name][0], server[name][1]) != quantity(str(value), server[name][1])
    }
    assert differing == {}


@pytest.mark.parametrize(("setting", "value"), SAFE.items(), ids=SAFE.keys())
def test_the_server_is_safe_and_observable(sql: Endpoints, setting: str, value: str) -> None:
    assert sql.superuser(f"SHOW {setting}") == value


def test_nothing_waits_for_a_restart_or_was_refused(sql: Endpoints) -> None:
    assert sql.superuser("SELECT name FROM pg_settings WHERE pending_restart") == ""
    assert sql.superuser("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL") == ""
    assert sql.superuser("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL") == ""


def test_statements_are_counted(sql: Endpoints) -> None:
    sql.pooled("app")("SELECT count(*) AS counted_by_statistics FROM alembic_version")
    calls = sql.superuser(
        "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%counted_by_statistics%'"
    )
    assert int(calls) >= 1


def test_plans_of_slow_statements_are_logged(database: Machine, sql: Endpoints) -> None:
    marker = f"explained_{database.sh('date +%s%N')}"
    sql.superuser(f"SET auto_explain.log_min_duration = 0; SELECT count(*) AS {marker} FROM alembic_version")
    log = database.sh("cat /var/log/postgresql/postgresql-15-main.log")
    assert re.search(rf"Query Text: .*{marker}.*\n\s+Aggregate", log)


@pytest.mark.parametrize(("setting", "value"), ROLE_SETTINGS)
def test_the_apps_time_limits_hold_in_a_pooled_session(sql: Endpoints, setting: str, value: str) -> None:
    assert sql.pooled("app")(f"SHOW {setting}") == value


def test_a_statement_beyond_its_time_limit_is_cancelled(sql: Endpoints) -> None:
    with pytest.raises(SqlError) as cancelled:
        sql.pooled("app")("BEGIN; SET LOCAL statement_timeout = '200ms'; SELECT pg_sleep(20)", timeout=15)
    assert cancelled.value.sqlstate == QUERY_CANCELED


def test_a_changed_limit_does_not_stay_in_the_pool(sql: Endpoints) -> None:
    app = sql.pooled("app")
    app("BEGIN; SET LOCAL statement_timeout = '1s'; COMMIT")
    shown = {app("SHOW statement_timeout") for _ in range(3)}
    assert shown == {"30s"}
