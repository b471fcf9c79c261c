"""The live cluster of this host: what it is, whether it runs, and how its WAL gets into the archive now."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from toolbox import pgbackrest
from toolbox.cluster import ClusterError, controldata
from toolbox.settings import Settings

SOCKETS = Path("/var/run/postgresql")
OPEN_TRANSACTIONS = """
SELECT format('process %s of %s, in a transaction for %s s: %s', pid, usename,
              extract(epoch FROM clock_timestamp() - xact_start)::int, left(query, 80))
FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 5
"""


class LiveError(Exception):
    """The live cluster does not do what it was asked for; the message says what it said."""


@dataclass(frozen=True)
class Live:
    """Debian's cluster that the settings name. `sockets` is the directory of its socket."""

    known: Settings
    sockets: Path = SOCKETS

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"postgresql@{self.known.server_version}-{self.known.server_cluster}.service"

    @property
    def directory(self) -> Path:
        """Where its data is, or is to be; a link is followed, since it is what it points to that is renamed."""
        return self.known.data_directory.resolve()

    @property
    def exists(self) -> bool:
        """Whether there is any data."""
        return (self.directory / "global/pg_control").is_file()

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A session of the superuser; psycopg.OperationalError where it does not run."""
        return psycopg.connect(
            host=str(self.sockets),
            port=self.known.port,
            user=pgbackrest.USER,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
            **options,
        )

    def answers(self) -> bool:
        """Whether it takes sessions."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def is_running(self) -> bool:
        """Whether a server runs on its data, whoever started it."""
        try:
            pid = int((self.directory / "postmaster.pid").read_text().split()[0])
            return Path(f"/proc/{pid}/cwd").resolve() == self.directory
        except (OSError, ValueError, IndexError):
            return False

    def system_identifier(self) -> str:
        """What tells this cluster from every other; empty where there is none, or one that cannot be read."""
        try:
            return controldata(self.known, self.directory)["Database system identifier"]
        except ClusterError:
            return ""

    def timeline(self) -> int:
        """The timeline that it is on, running or not; ClusterError where there is none."""
        if self.answers():
            with self.connect() as session:
                row = session.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone()
            return int(row[0]) if row else 0
        return int(controldata(self.known, self.directory)["Latest checkpoint's TimeLineID"])

    def archive_now(self, seconds: float = 60) -> str:
        """Have all that is committed by now in the archive; returns the last WAL segment of it.

        A commit of its own comes first: recovery to a moment needs one that is younger.

        Raises:
            LiveError: it is not there after `seconds`.
        """
        limit = time.monotonic() + seconds
        with self.connect() as session:
            session.execute("SELECT pg_current_xact_id()")
            row = session.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            segment = str(row[0])
            while True:
                row = session.execute(
                    "SELECT coalesce(last_archived_wal, ''), coalesce(last_failed_wal, '') FROM pg_stat_archiver"
                ).fetchone()
                assert row is not None
                # A history file is archived before the first segment of its timeline.
                if len(row[0]) == len(segment) and row[0] >= segment:
                    return segment
                if time.monotonic() > limit:
                    raise LiveError(
                        f"{segment} is not in the archive after {seconds:.0f} s (the last that is: "
                        f"{row[0] or 'none'}; the last that failed: {row[1] or 'none'}). Why: journalctl -u {self.unit}"
                        f" and /var/log/postgresql; docs/runbooks/archive-behind.md says what to do."
                    )
                time.sleep(0.1)

    def start(self, seconds: float = 120) -> None:
        """Start it; LiveError with the end of its log where it does not take sessions within `seconds`.

        Debian's unit reports success whatever happened, since recovery may take long: so the server is asked.
        """
        # Debian's program says why in the unit's journal, the server in its log: both are shown below.
        subprocess.run(["systemctl", "start", self.unit], check=False, capture_output=True)
        limit = time.monotonic() + seconds
        while not self.answers():
            # A unit that ended by itself will not answer later.
            ended = time.monotonic() > limit or (
                self._state() in {"inactive", "failed"} and not self.is_running()
            )
            if ended:
                raise LiveError(f"{self.unit} does not answer. It said:\n{self.end_of_log()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it in order, and be sure that nothing runs on its data any more."""
        self._systemctl("stop")
        if self.is_running():
            raise LiveError(
                f"a server that {self.unit} did not start runs on {self.directory}: stop it by pg_ctl"
            )

    def open_transactions(self) -> list[str]:
        """The oldest transactions that are open, for people."""
        with self.connect() as session:
            return [str(row[0]) for row in session.execute(OPEN_TRANSACTIONS)]

    def wait_for_transactions(self, seconds: float) -> bool:
        """Wait until no transaction is open; says whether that was so within `seconds`."""
        limit = time.monotonic() + seconds
        while self.open_transactions():
            if time.monotonic() > limit:
                return False
            time.sleep(0.1)
        return True

    def end_open_transactions(self) -> None:
        """End the sessions that have one; what they did since the target is given up in any case."""
        with self.connect() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def end_of_log(self, lines: int = 15) -> str:
        """The end of the unit's journal and of the server's log."""
        journal = ["journalctl", f"--unit={self.unit}", "--output=cat", "--no-pager", "--lines=5"]
        said = subprocess.run(journal, check=False, capture_output=True, text=True).stdout.splitlines()
        path = Path(
            f"/var/log/postgresql/postgresql-{self.known.server_version}-{self.known.server_cluster}.log"
        )
        said += path.read_text(errors="replace").splitlines()[-lines:] if path.is_file() else []
        return "\n".join(said)

    def _state(self) -> str:
        command = ["systemctl", "show", "--property=ActiveState", "--value", self.unit]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    def _systemctl(self, verb: str) -> None:
        done = subprocess.run(["systemctl", verb, self.unit], check=False, capture_output=True, text=True)
        if done.returncode:
            raise LiveError(f"systemctl {verb} {self.unit}: {done.stderr.strip()}")
