"""What postgresql_in_force finds out from a real PostgreSQL 15; its unit and the poolers are tested on hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_in_force import CHECKS, OPEN_TRANSACTIONS, Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """The throwaway cluster of these tests; its files are afterwards what they were."""
    assert "PGHOST" in os.environ, "these tests need a throwaway PostgreSQL 15: pg_virtualenv -v 15 pytest …"
    cluster = Cluster(
        version="15",
        cluster="throwaway",
        port=int(os.environ["PGPORT"]),
        socket_directory=os.environ["PGHOST"],
    )
    files = [access_file(cluster), settings_file(cluster)]
    before = [file.read_bytes() for file in files]
    yield cluster
    for file, content in zip(files, before, strict=True):
        file.write_bytes(content)
    cluster.reload()
    assert cluster.rows(CHECKS) == []


def access_file(cluster: Cluster) -> Path:
    return Path(cluster.rows("SHOW hba_file")[0][0])


def settings_file(cluster: Cluster) -> Path:
    return Path(cluster.rows("SHOW data_directory")[0][0]) / "postgresql.auto.conf"


def append(file: Path, line: str) -> None:
    with file.open("a") as opened:
        opened.write(f"{line}\n")


def test_valid_configuration_has_no_fault(cluster: Cluster) -> None:
    assert cluster.rows(CHECKS) == []
    assert cluster.pending_restart() == []


def test_statement_without_rows_has_none(cluster: Cluster) -> None:
    assert cluster.rows("CHECKPOINT") == []


def test_reload_has_happened_when_it_returns(cluster: Cluster) -> None:
    for number in range(10):
        append(settings_file(cluster), f"work_mem = '{number + 5}MB'")
        cluster.reload()
        assert cluster.rows("SHOW work_mem") == [(f"{number + 5}MB",)]


def test_configuration_is_older_than_a_file_that_was_written_after_it(cluster: Cluster) -> None:
    cluster.reload()
    append(settings_file(cluster), "work_mem = '5MB'")
    assert settings_file(cluster).stat().st_ctime > cluster.loaded_at()
    cluster.reload()
    assert settings_file(cluster).stat().st_ctime < cluster.loaded_at()


def test_setting_that_needs_a_restart_is_named_and_is_no_fault(cluster: Cluster) -> None:
    append(settings_file(cluster), "max_connections = 123")
    assert cluster.rows(CHECKS) == []
    cluster.reload()
    assert cluster.pending_restart() == ["max_connections"]
    assert cluster.rows(CHECKS) == []


def test_setting_that_was_taken_back_needs_no_restart(cluster: Cluster) -> None:
    before = settings_file(cluster).read_text()
    append(settings_file(cluster), "max_connections = 123")
    cluster.reload()
    settings_file(cluster).write_text(before)
    cluster.reload()
    assert cluster.pending_restart() == []
    assert cluster.rows(CHECKS) == []


@pytest.mark.parametrize("line", ["work_mem = 'nonsense'", "no_such_setting = 1", "work_mem 5MB extra"])
def test_wrong_setting_is_found_before_the_reload(cluster: Cluster, line: str) -> None:
    append(settings_file(cluster), line)
    found = [row[0] for row in cluster.rows(CHECKS)]
    assert len(found) == 1
    assert "postgresql.auto.conf line" in found[0]


@pytest.mark.parametrize("line", ["host all all 10.0.0.0 scram-sha-256", "local all all guess", "hostt all"])
def test_wrong_access_rule_is_found_before_the_reload(cluster: Cluster, line: str) -> None:
    lines = len(access_file(cluster).read_text().splitlines())
    append(access_file(cluster), line)
    found = [row[0] for row in cluster.rows(CHECKS)]
    assert len(found) == 1
    assert found[0].startswith(f"pg_hba.conf line {lines + 1}: ")


def test_open_transaction_is_shown_with_whom_to_ask(cluster: Cluster) -> None:
    import psycopg2

    with psycopg2.connect(dbname="postgres") as session, session.cursor() as cursor:
        cursor.execute("SELECT 'the month-end report'")
        shown = cluster.rows(OPEN_TRANSACTIONS)[0][0]
        assert f"pid {session.info.backend_pid}, postgres, in a transaction for" in shown
        assert "the month-end report" in shown


def test_server_that_does_not_answer_is_named(cluster: Cluster) -> None:
    silent = Cluster(version="15", cluster="throwaway", port=1, socket_directory="/nowhere")
    with pytest.raises(RuntimeError, match=r"No session with postgresql@15-throwaway.service as postgres"):
        silent.rows("SELECT 1")
