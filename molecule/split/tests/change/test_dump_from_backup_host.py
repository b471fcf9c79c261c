"""Dumps are kept on another host: rows come back through the controller, and nothing of a dump stays on the way."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.backups import Backups
from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.sql import Endpoints, Superuser

RESTORE = "playbooks/restore.yml"
SHOW = "backup : restore_prepare | Show what is there"
DUMPS = "/var/backups/intowork"
SIDES = "SELECT datname FROM pg_database WHERE datname LIKE '%_restored_%'"
# What a dump, packed or not, would be seen by.
TRACES = r"\( -name toc.dat -o -name '[0-9]*.dat.gz' -o -name '*_2*Z.tar' \)"


def traces(machine: Machine) -> str:
    """What a host has of any dump, but for those that are kept."""
    # Where programs write; /usr and /srv have ten times as many files. A file that goes just then is none.
    script = f"find /var /root /home /tmp /run -xdev -not -path '{DUMPS}/intowork_*' {TRACES} 2>/dev/null"
    return machine.sh(script, ok=(0, 1))


def traces_on_controller(name: str) -> str:
    """What the controller has of a dump."""
    command = ["find", str(Path.home() / ".ansible"), "/tmp", "-name", f"*{name}*"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def dump(backups: Backups, sql: Endpoints) -> Iterator[str]:
    """The newest dump, with rows that are deleted since."""
    sql.superuser(
        "DROP TABLE IF EXISTS precious",
        "CREATE TABLE precious AS SELECT generate_series(1, 3) AS id",
    )
    backups.keeper.sh("bundle-backup dump", timeout=120)
    sql.superuser("DELETE FROM precious WHERE id < 3")
    yield backups.keeper.sh(f"ls {DUMPS} | tail -n 1")
    sql.superuser("DROP TABLE precious")


@pytest.fixture(scope="module")
def restored(dump: str, backups: Backups, playbook: Playbook) -> Run:
    """Its rows, beside the live database."""
    return playbook.must(RESTORE, restore_table="precious")


@pytest.fixture(scope="module")
def side(restored: Run, sql: Endpoints) -> Iterator[str]:
    """The database that they are in."""
    found = re.search(r"restored: (intowork_restored_\w+), as of", restored.said_by(SHOW))
    assert found
    yield found[1]
    sql.superuser(f"DROP DATABASE {found[1]}")


@pytest.fixture
def damaged(dump: str, backups: Backups) -> Iterator[str]:
    """A dump of which no file but its contents can be read."""
    name = "intowork_20200101T023000Z"
    backups.keeper.sh(
        f"cd {DUMPS} && cp -a {dump} {name} && cd {name} && for file in *.dat.gz; do echo lost >$file; done"
    )
    yield name
    backups.keeper.sh(f"rm -r {DUMPS}/{name}")


def test_check_mode_says_what_would_be_brought_and_brings_nothing(
    dump: str, backups: Backups, playbook: Playbook
) -> None:
    run = playbook.must(RESTORE, "--check", restore_table="precious")
    assert f"would be brought: {dump}, " in run.said_by(SHOW)
    assert traces(backups.database) == traces(backups.keeper) == ""


def test_rows_of_a_table_are_back_beside_the_live_database(
    side: str, restored: Run, backups: Backups, sql: Endpoints
) -> None:
    assert Superuser(backups.database, side)("SELECT id FROM precious ORDER BY id") == "1\n2\n3"
    assert sql.superuser("SELECT id FROM precious") == "3"
    command = f"to bring rows of public.precious back: runuser -u postgres -- psql -X -p 5432 -d {side}"
    assert command in restored.said_by(SHOW)


def test_nothing_of_the_dump_stays_on_the_way(restored: Run, dump: str, backups: Backups) -> None:
    assert traces(backups.database) == traces(backups.keeper) == traces_on_controller(dump) == ""


def test_damaged_dump_is_named_and_stays_where_it_is(
    restored: Run, damaged: str, backups: Backups, playbook: Playbook, sql: Endpoints
) -> None:
    sides = sql.superuser(SIDES)
    run = playbook.run(RESTORE, restore_database="intowork", restore_dump=damaged)
    kept = f"nothing was brought from {backups.keeper.name}"
    run.says(kept, f"{damaged} is damaged, and nothing was restored from it")
    assert run.changes == 0
    assert sql.superuser(SIDES) == sides
    assert traces(backups.database) == traces(backups.keeper) == ""


def test_dump_that_cannot_be_restored_leaves_nothing_on_the_way(
    restored: Run, damaged: str, backups: Backups, playbook: Playbook, sql: Endpoints
) -> None:
    sides = sql.superuser(SIDES)
    # As if it had been written so: only the restore finds it.
    backups.keeper.sh(f"cd {DUMPS}/{damaged} && sha256sum *.dat* >SHA256SUMS")
    run = playbook.run(RESTORE, restore_table="precious", restore_dump=damaged)
    run.says("Nothing was restored, and nothing that was there was touched", "pg_restore failed")
    assert sql.superuser(SIDES) == sides
    assert traces(backups.database) == traces(backups.keeper) == traces_on_controller(damaged) == ""
