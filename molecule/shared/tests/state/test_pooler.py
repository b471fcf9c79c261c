"""The pooler: what it runs as, whom it hands out, and how many clients it serves with how few connections."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.machine import Machine
from shared.sql import Endpoints, SqlError

POOL_SIZE = 25
CLIENTS = 300
# With 25 at a time, 300 clients of 4 transactions of 50 ms take 2.4 s: each waits 0.6 s for its turn, less than the
# 5 s after which pgBouncer takes connections from its reserve.
TRANSACTIONS = 4
SCRIPT = "SELECT pg_sleep(0.05);"

# Runs the clients, and meanwhile counts again and again how many there are on both sides of the pooler.
CROWD = """
import json, os, subprocess, sys, time, psycopg2
command, app, console = json.loads(sys.argv[1])
server = psycopg2.connect(host="/var/run/postgresql", user="postgres", dbname="postgres")
server.autocommit = True
pooler = psycopg2.connect(console)
pooler.autocommit = True
sessions, clients = 0, 0
run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
while run.poll() is None:
    with server.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (app,))
        sessions = max(sessions, cursor.fetchone()[0])
    with pooler.cursor() as cursor:
        cursor.execute("SHOW POOLS")
        names = [column[0] for column in cursor.description]
        pools = [dict(zip(names, row)) for row in cursor.fetchall()]
        clients = max(clients, sum(p["cl_active"] + p["cl_waiting"] for p in pools if p["user"] == app))
    time.sleep(0.05)
print(json.dumps({"status": run.returncode, "said": run.stdout.read(), "sessions": sessions, "clients": clients}))
"""

SUPERUSER = "somebody_super"
SUPERUSER_PASSWORD = "nF4-kY8w-Jc2v-Hd6p"  # of a role that lives as long as one test


@pytest.fixture
def superuser_with_password(sql: Endpoints) -> Iterator[str]:
    """A superuser who could log in with a password, if the pooler let it."""
    sql.superuser(
        f"DROP ROLE IF EXISTS {SUPERUSER}",
        f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN PASSWORD '{SUPERUSER_PASSWORD}'",
    )
    yield SUPERUSER
    sql.superuser(f"DROP ROLE {SUPERUSER}")


def test_pgbouncer_runs_and_starts_at_boot(database: Machine) -> None:
    database.must_run("pgbouncer")


def test_pgbouncer_runs_as_a_user_of_its_own(database: Machine) -> None:
    processes = database.host.process.filter(comm="pgbouncer")
    assert {process.user for process in processes} == {"pgbouncer"}


def test_the_poolers_user_is_no_superuser_by_its_name(database: Machine) -> None:
    login = "runuser -u pgbouncer -- psql -X -h /var/run/postgresql -U postgres -c 'SELECT 1' 2>&1"
    assert "Peer authentication failed" in database.sh(login, ok=(2,))


def test_the_pooler_does_not_hand_out_a_superuser(sql: Endpoints, superuser_with_password: str) -> None:
    with pytest.raises(SqlError, match="no such user"):
        sql.pooled(superuser_with_password, SUPERUSER_PASSWORD)("SELECT 1")


@pytest.mark.parametrize("role", ["migrator", "readonly", "monitor", "backup"])
def test_the_pooler_does_not_hand_out_a_role_whose_pool_the_sum_does_not_count(
    sql: Endpoints, role: str
) -> None:
    assert sql.beside(role)("SELECT 1") == "1"
    with pytest.raises(SqlError, match="no such user"):
        sql.pooled(role)("SELECT 1")


def test_the_app_may_not_ask_for_password_verifiers(sql: Endpoints) -> None:
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")("SELECT * FROM pgbouncer.get_auth('intowork_migrator')")
    assert refused.value.sqlstate == "42501"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_client_conn", "1000"),
        ("default_pool_size", str(POOL_SIZE)),
        ("pool_mode", "transaction"),
        ("auth_type", "scram-sha-256"),
    ],
)
def test_the_poolers_settings_are_in_force(sql: Endpoints, setting: str, value: str) -> None:
    rows = [line.split("|") for line in sql.console("admin")("SHOW CONFIG").splitlines()]
    assert {row[0]: row[1] for row in rows}[setting] == value


def test_the_admin_user_may_act(sql: Endpoints) -> None:
    sql.console("admin")("RELOAD")


def test_the_stats_user_looks_and_does_not_act(sql: Endpoints) -> None:
    stats = sql.console("stats")
    assert sql.landscape.value("bundle_database") in stats("SHOW POOLS")
    with pytest.raises(SqlError, match="admin access needed"):
        stats("RELOAD")


def test_the_app_is_refused_by_the_console(sql: Endpoints) -> None:
    console = replace(sql.pooled("app"), database="pgbouncer")
    # Version 1.18 lets those wait for an answer that it refuses: its console has no database to look users up in.
    with pytest.raises(SqlError, match=r"not allowed|timeout expired"):
        console("SHOW POOLS")


def test_300_clients_at_once_are_served_by_25_connections(sql: Endpoints, database: Machine) -> None:
    app, stats = sql.pooled("app"), sql.console("stats")
    database.sh(f"echo {shlex.quote(SCRIPT)} > /tmp/crowd.sql")
    pgbench = [
        "/usr/lib/postgresql/15/bin/pgbench",
        "--no-vacuum",
        "--protocol=simple",
        "--file=/tmp/crowd.sql",
    ]
    pgbench += [f"--client={CLIENTS}", "--jobs=2", f"--transactions={TRANSACTIONS}", app.conninfo]
    console = f"{stats.conninfo} password={stats.password}"
    words = ["python3", "-c", CROWD, json.dumps([pgbench, app.user, console])]
    found = json.loads(database.sh(f"PGPASSWORD='{app.password}' {shlex.join(words)}", timeout=90))
    assert found["status"] == 0, found["said"]
    assert f"processed: {CLIENTS * TRANSACTIONS}/{CLIENTS * TRANSACTIONS}" in found["said"]
    assert "number of failed transactions: 0 " in found["said"]
    assert found["clients"] >= CLIENTS
    assert found["sessions"] == POOL_SIZE
