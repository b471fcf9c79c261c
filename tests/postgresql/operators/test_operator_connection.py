"""How the operators' commands connect, and in which forms they answer, also when they cannot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from operator_commands import ROOT, Database, Outcome, outcome, samples, wait_until

COMMANDS = ("check_indexes.py", "monitor_db.py", "reindex.py")
each_command = pytest.mark.parametrize("script", COMMANDS)


def started(words: list[str], env: dict[str, str | None], script: str = "check_indexes.py") -> Outcome:
    """Run a command with an environment of its own; None takes a variable away."""
    whole = {name: value for name, value in (os.environ | env).items() if value is not None}
    command = [sys.executable, str(ROOT / "scripts" / script), "--format", "json", *words]
    return outcome(
        subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )


@each_command
def test_text_is_for_people(database: Database, script: str) -> None:
    done = database.command(script, form="text")
    assert database.name in done.text.splitlines()[0]
    assert not done.errors


@each_command
def test_prometheus_text_can_be_read_by_prometheus(database: Database, script: str) -> None:
    database.run('CREATE TABLE "a ""quoted\\name" (id int PRIMARY KEY)')
    found = samples(database.command(script, form="prometheus").text)
    assert {name.partition("_")[0] for name in found} == {"database"}
    assert {labels["database"] for each in found.values() for labels, _value in each} >= {database.name}


@each_command
def test_figures_are_written_for_node_exporter(database: Database, tmp_path: Path, script: str) -> None:
    file = tmp_path / "collector" / "found.prom"
    done = database.command(script, "--metrics-file", str(file), form="text")
    assert done.text.startswith(("Indexes", "PostgreSQL", "Reindex"))
    assert samples(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o644


@each_command
def test_help_teaches_each_check_and_has_examples(script: str) -> None:
    done = started(["--help"], {}, script)
    assert done.status == 0
    assert "examples:" in done.text
    assert "exit status: 0 all is well" in done.text


@each_command
def test_server_that_is_not_there_is_critical_in_the_wanted_form(database: Database, script: str) -> None:
    done = database.command(script, env={"PGPORT": "1"})
    assert done.status == 2
    assert "cannot connect" in done.json["findings"][0]["message"]
    assert done.metric("database_up") == 0


def test_only_database_beside_postgres_is_taken(database: Database) -> None:
    done = started([], {"PGDATABASE": None})
    assert done.json["title"] == f"Indexes of {database.name}"


def test_several_databases_have_to_be_named(database: Database, make_database: object) -> None:
    assert callable(make_database)
    other = make_database()
    done = started([], {"PGDATABASE": None})
    assert done.status == 2
    assert other.name in done.json["findings"][0]["message"]
    assert database.name in done.json["findings"][0]["message"]


def test_connection_string_is_taken_as_by_psql(database: Database) -> None:
    done = started(["--dbname", f"dbname={database.name} application_name=mine"], {})
    assert done.json["title"] == f"Indexes of {database.name}"


@pytest.mark.parametrize("user", [None, "postgres"])
def test_root_becomes_postgres_for_the_socket(database: Database, user: str | None) -> None:
    sockets = database.value("SHOW unix_socket_directories").split(",")[0]
    without = {"PGUSER": user, "PGHOST": None, "PGPASSWORD": None}
    done = started(["--host", sockets, "--dbname", database.name], without)
    assert done.status == 0, done.text


def test_limits_that_make_no_sense_are_refused_with_an_example(database: Database) -> None:
    done = database.command("check_indexes.py", "--bloat", "90,50")
    assert done.status == 2
    assert "the warning (90 %) has to be below the critical limit" in done.errors


def test_unknown_check_is_refused_with_those_that_there_are(database: Database) -> None:
    done = database.command("check_indexes.py", "--only", "bloatt")
    assert done.status == 2
    assert "no check is called bloatt; there are expected, invalid" in done.errors


@pytest.mark.parametrize("size", ["10", "10mb", "-1MB", "lots"])
def test_size_without_a_unit_is_refused_with_examples(database: Database, size: str) -> None:
    done = database.command("check_indexes.py", f"--bloat-size={size}")
    assert done.status == 2
    assert "with its unit, like 512kB, 10MB, 2GB" in done.errors


def test_command_works_from_another_place_through_a_link(database: Database, tmp_path: Path) -> None:
    there = tmp_path / "lib"
    shutil.copytree(ROOT / "scripts" / "toolbox", there / "toolbox")
    shutil.copy(ROOT / "scripts" / "check_indexes.py", there)
    link = tmp_path / "check-indexes"
    link.symlink_to(there / "check_indexes.py")
    done = subprocess.run(
        [sys.executable, str(link), "-d", database.name], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def pooler(database: Database) -> Iterator[int]:
    """A real pgBouncer in transaction mode before the server; its port."""
    # It does not run as root, and pytest's own directories are root's.
    folder = Path(tempfile.mkdtemp())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "users").write_text(f'"{os.environ["PGUSER"]}" "{os.environ["PGPASSWORD"]}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={os.environ['PGHOST']} port={os.environ['PGPORT']}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = plain\nauth_file = {folder}/users\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    words = ["/usr/sbin/pgbouncer", "-q", str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:
        words += ["-u", "nobody"]
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
    process = subprocess.Popen(words)

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, "pgBouncer")
    yield port
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def test_pooler_is_refused_before_anything_is_set_in_its_sessions(database: Database, pooler: int) -> None:
    words = ["--host", "127.0.0.1", "--port", str(pooler), "--dbname", database.name]
    done = started(words, {})
    assert done.status == 2
    assert "is a pooler's (pgBouncer)" in done.json["findings"][0]["message"]
    settings = database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%set_config%' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    assert settings == 0
