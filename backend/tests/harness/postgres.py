"""A PostgreSQL of a test's own, to stop and start again behind a pooler."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest.mock import patch

from harness.cluster import Cluster
from harness.wait import free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


class Postgres:
    """A server on a free port of the loopback interface, with Debian's programs and no library loaded."""

    def __init__(self) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self._directory / "data"
        password = self._directory / "password"
        # The superuser's login is the throwaway cluster's, which the harness reads from the environment.
        password.write_text(os.environ["PGPASSWORD"])
        # PostgreSQL refuses to be root.
        self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            for path in (self._directory, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        else:
            self._as_user = []
        self._run(
            "initdb",
            f"--username={os.environ['PGUSER']}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--no-sync",
        )
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nfsync = off\n")
            settings.write(f"unix_socket_directories = '{self._directory}'\n")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_user, str(PROGRAMS / program), "-D", str(self._data), *arguments],
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._run("pg_ctl", "start", "--wait", "--log", str(self._directory / "log"))

    def stop(self) -> None:
        """End it as a crash would, and wait for its end."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait")

    def cluster(self) -> Cluster:
        """How to make roles and databases in it."""
        with patch.dict(os.environ, PGHOST="127.0.0.1", PGPORT=str(self.port)):
            made = Cluster()
        made.create_roles()
        return made

    def close(self) -> None:
        """End it, if it runs, and remove its files."""
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._directory)
