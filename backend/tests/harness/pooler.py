"""A pgBouncer process in transaction mode, with Debian's program and its own user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from harness.cluster import Cluster
from harness.wait import accepts, free_port, until

ADMIN = ("pooler_admin", "pooler-admin-secret")


class Pooler:
    """pgBouncer in front of all databases of a cluster, on a free port of the loopback interface."""

    def __init__(self, cluster: Cluster, pool_size: int, **settings: str | int) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("these tests need pgBouncer: apt-get install pgbouncer")
        self.host, self.port = "127.0.0.1", free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="pooler-"))
        self._command = [program, str(self._directory / "pgbouncer.ini")]
        self._process: subprocess.Popen[bytes] | None = None
        users = dict([cluster.login("app"), ADMIN])
        (self._directory / "users.txt").write_text(
            "".join(f'"{name}" "{password}"\n' for name, password in users.items())
        )
        (self._directory / "pgbouncer.ini").write_text(
            f"""[databases]
* = host={cluster.host} port={cluster.port}
[pgbouncer]
listen_addr = {self.host}
listen_port = {self.port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
auth_type = scram-sha-256
auth_file = {self._directory / "users.txt"}
admin_users = {ADMIN[0]}
server_login_retry = 1
"""
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        if os.getuid() == 0:
            # pgBouncer refuses to be root.
            self._command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *self._command,
            ]
            account = pwd.getpwnam("postgres")
            for path in (self._directory, *self._directory.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        until(self._listens, "pgBouncer listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "output").read_text()
        return accepts(self.port)

    def stop(self) -> None:
        """End it at once, as a crash would, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def tell_to_stop(self) -> None:
        """Let it stop as systemd does, by SIGINT: open transactions may end; all others are dropped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def wait_for_end(self) -> None:
        """Wait until one that was told to stop has."""
        assert self._process is not None
        self._process.wait(timeout=30)
        self._process = None

    def freeze(self) -> None:
        """Let it accept connections, as the kernel does for it, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self._directory)

    def show(self, what: str) -> list[dict[str, Any]]:
        """What its console answers to SHOW."""
        return self._console(f"SHOW {what}").fetchall()

    def command(self, words: str) -> None:
        """Let its console do something, such as PAUSE."""
        self._console(words)

    def _console(self, words: str) -> psycopg.Cursor[dict[str, Any]]:
        user, password = ADMIN
        with psycopg.connect(
            host=self.host, port=self.port, dbname="pgbouncer", user=user, password=password, autocommit=True
        ) as console:
            # The console knows the simple protocol only.
            cursor = psycopg.ClientCursor(console, row_factory=psycopg.rows.dict_row)
            return cursor.execute(words)  # type: ignore[arg-type]
