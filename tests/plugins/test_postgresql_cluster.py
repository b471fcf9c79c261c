"""The module postgresql_cluster makes a cluster whole, and touches no data that may be somebody's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_module import answer, start

NAME = f"bundle{os.getpid()}"
CONTROLDATA = Path("/usr/lib/postgresql/15/bin/pg_controldata")


class Host:
    """Places of a cluster that are not the machine's own; Debian's tools find them by their own variable."""

    def __init__(self, root: Path) -> None:
        self.etc = root / "etc/15" / NAME
        self.data = root / "data"
        self.marker = root / ".data.being-made"
        self.root = root

    def run(self, *, path: str | None = None, **options: Any) -> dict[str, Any]:
        environment = os.environ | {"PG_CLUSTER_CONF_ROOT": str(self.root / "etc")}
        if path:
            environment["PATH"] = path
        given = {"version": "15", "cluster": NAME, "data_directory": str(self.data), "port": 15432}
        said: dict[str, Any] = answer(start("postgresql_cluster", given | options, env=environment))
        return said

    def used_cluster(self) -> dict[Path, bytes]:
        """Put there what a cluster leaves on which a server has run, and return it."""
        self.data.mkdir()
        for name in ("PG_VERSION", "postmaster.opts", "precious"):
            (self.data / name).write_text("15\n")
        return self.files()

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.data.rglob("*") if path.is_file()}


@pytest.fixture
def host() -> Iterator[Host]:
    assert os.geteuid() == 0, "these tests make a cluster for the user postgres, so they run as root"
    assert CONTROLDATA.exists(), "these tests need PostgreSQL 15: apt-get install postgresql-15"
    # In /tmp and not in pytest's directory, which the user postgres cannot enter.
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        Path(name).chmod(0o755)
        yield Host(Path(name))
    Path(f"/var/log/postgresql/postgresql-15-{NAME}.log").unlink(missing_ok=True)


def test_cluster_is_made_with_checksums_and_a_second_run_changes_nothing(host: Host) -> None:
    assert host.run()["changed"]
    shown = subprocess.run([CONTROLDATA, host.data], check=True, capture_output=True, text=True).stdout
    assert "Data page checksum version:           1\n" in shown
    assert "port = 15432" in (host.etc / "postgresql.conf").read_text()
    assert not host.marker.exists()
    assert not host.run()["changed"]


def test_cluster_that_a_killed_run_left_half_is_made_anew(host: Host) -> None:
    wrapper = host.root / "bin/pg_createcluster"
    wrapper.parent.mkdir()
    wrapper.write_text(
        '#!/bin/sh\n/usr/bin/pg_createcluster "$@" >/dev/null\nrm "$PG_CLUSTER_CONF_ROOT"/15/*/pg_hba.conf\n'
    )
    wrapper.write_text(wrapper.read_text() + "kill -9 $PPID\n")
    wrapper.chmod(0o755)
    environment = os.environ | {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    options = {"version": "15", "cluster": NAME, "data_directory": str(host.data), "port": 15432}
    killed = start(
        "postgresql_cluster", options, env=environment | {"PG_CLUSTER_CONF_ROOT": str(host.root / "etc")}
    )
    assert killed.wait(timeout=60) == -9
    assert host.marker.exists()
    assert host.run()["changed"]
    assert (host.etc / "pg_hba.conf").exists()
    assert not host.marker.exists()


def test_data_without_a_description_is_refused_and_left(host: Host) -> None:
    before = host.used_cluster()
    done = host.run()
    assert done["failed"]
    assert f"{host.data} is not empty" in done["msg"]
    assert f"pg_createcluster 15 {NAME} -d {host.data}" in done["msg"]
    assert host.files() == before


def test_marker_of_a_killed_run_gives_no_right_to_data_that_a_server_ran_on(host: Host) -> None:
    before = host.used_cluster()
    host.marker.touch()
    assert host.run()["failed"]
    assert host.files() == before


def test_marker_that_stayed_beside_a_cluster_in_use_is_taken_away(host: Host) -> None:
    host.run()
    (host.data / "postmaster.opts").write_text("/usr/lib/postgresql/15/bin/postgres\n")
    before = host.files()
    host.marker.touch()
    assert not host.run()["changed"]
    assert host.files() == before
    assert not host.marker.exists()


def test_volume_that_is_not_mounted_is_no_reason_to_make_a_cluster(host: Host) -> None:
    host.run()
    shutil.rmtree(host.data)
    host.data.mkdir()
    done = host.run()
    assert done["failed"]
    assert f"{host.etc} describes a cluster, but {host.data} has no data" in done["msg"]
    assert "Mount the data's file system" in done["msg"]
    assert not host.marker.exists()


def test_cluster_that_cannot_be_made_is_explained_and_leaves_no_marker(host: Host) -> None:
    done = host.run(locale="nowhere.UTF-8")
    assert done["failed"]
    assert f"pg_createcluster 15 {NAME} failed" in done["msg"]
    assert "nowhere.UTF-8" in done["msg"]
    assert not host.marker.exists()


def test_check_mode_makes_nothing(host: Host) -> None:
    assert host.run(_ansible_check_mode=True)["changed"]
    assert list(host.root.iterdir()) == []
