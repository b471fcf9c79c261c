"""A cluster restored from the repository, beside the live one or anywhere else, reachable by its own socket only.

    clone = Clone(known, directory=Path(".../main.restored"), private=Path("/var/lib/bundle-backup/restored"))
    clone.check_space(backup)
    clone.restore(backup, tell=print)
    clone.start(target, timeline=2)
    arrival = clone.arrive(target)
    clone.promote()
    with clone.connect("intowork") as connection: ...
    clone.remove()

Look into it when it is promoted. While recovery is paused, the locks are held of transactions that were under way at
the target: of all things, the table that somebody was about to drop cannot be read.

It never archives. One that is thrown away has archive_mode off. One that is to become the live cluster has it on with
no command: what it writes waits until it is in its place, so that nothing goes out before, and the new timeline's WAL
has no gap then.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from toolbox import pgbackrest
from toolbox.pgbackrest import Backup
from toolbox.segments import SEGMENT_BYTES, Segment
from toolbox.settings import Settings
from toolbox.targets import Target, lsn_bytes

# Recovery refuses a server that has less of these than the one whose WAL it replays; by pg_controldata's words.
LIMITS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
TOO_LOW = re.compile(r"(\w+) = \d+ is a lower setting than on the primary server, where its value was (\d+)")
STOPPING = re.compile(
    r"LOG: +recovery stopping (?P<edge>before|after|at) (?P<what>commit|abort|restore point|WAL location|reaching)"
    r"(?: prepared)?(?: of transaction (?P<xid>\d+))?(?: \"(?P<name>.*)\")?(?: \(LSN\) \"(?P<lsn>[0-9A-F/]+)\")?"
    r"(?:, time (?P<time>[^\n]+))?"
)
RESTORED = re.compile(r'restored log file "([0-9A-F]{24})"')
STATE = """
    SELECT pg_get_wal_replay_pause_state(), pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),
           coalesce((SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'), '')
    WHERE pg_is_in_recovery() AND pg_last_wal_replay_lsn() IS NOT NULL
"""
# PostgreSQL asks for a segment that is not there every 5 s; pgBackRest may need longer than that for one of them.
FETCH_SECONDS = 30
# WAL that replay may have in the clone at once, and that pgBackRest fetches ahead.
MAX_WAL_MB = 1024
FETCHED_AHEAD_MB = 128
# What is left of the file system at all times: the live cluster is on it too.
RESERVE_BYTES = 512 * 1024 * 1024


class ClusterError(Exception):
    """The clone could not be made or started; the message says why and what to do."""


class NotReachedError(ClusterError):
    """Recovery ended, and not at the target."""


class BeforeConsistencyError(NotReachedError):
    """The target is earlier than the end of the backup that was taken: an older one may do."""


@dataclass(frozen=True)
class Arrival:
    """Where a recovery ended, by the server's own words. Times are those of commits, as they stand in the WAL."""

    said: str
    lsn: str
    last_commit: datetime | None
    left_out_xid: int | None = None
    left_out_at: str = ""


@dataclass(frozen=True)
class State:
    """How far a recovery is that goes on: the row of STATE."""

    pause: str
    lsn: str
    last_commit: datetime | None
    waits_for: str

    @property
    def is_waiting(self) -> bool:
        """Whether the startup process sleeps between two looks for WAL that is nowhere."""
        return self.waits_for == "RecoveryRetrieveRetryInterval"


@dataclass
class Clone:
    """A restored cluster in `directory`; its socket, log and configuration are in `private`, of postgres alone.

    `unit` is the transient systemd unit that runs it when root starts it, so that it outlives the command. Without one,
    and without systemd, it belongs to the command's own unit and ends with it.
    """

    known: Settings
    directory: Path
    private: Path
    unit: str = ""
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What its server says."""
        return self.private / "server.log"

    @property
    def port(self) -> int:
        """Its number in the name of the socket; nothing listens on it by TCP."""
        return self.known.port

    def needed_bytes(self, backup: Backup) -> int:
        """What the file system must have free: the data, a tenth for growth, the WAL in between, and the reserve."""
        return int(backup.database_bytes * 1.1) + (MAX_WAL_MB + FETCHED_AHEAD_MB) * 1024**2 + RESERVE_BYTES

    def check_space(self, backup: Backup) -> None:
        """Raise ClusterError where the file system of `directory` has too little room for it.

        What is in `directory` already counts as free: it goes before.
        """
        place = existing(self.directory)
        old = sum(path.lstat().st_blocks * 512 for path in self.directory.rglob("*"))
        free, needed = shutil.disk_usage(place).free + old, self.needed_bytes(backup)
        if free < needed:
            raise ClusterError(
                f"{place} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed to restore {backup.label} "
                f"({backup.database_bytes / 1e9:.1f} GB) into {self.directory}. Make room, or enlarge the file system."
            )

    def check_tablespaces(self, backup: Backup) -> None:
        """Raise ClusterError where some of a backup is in directories of its own: the live cluster has those."""
        there = pgbackrest.tablespaces(self.known.stanza, backup)
        if there:
            listed = ", ".join(f"{name} in {path}" for name, path in sorted(there.items()))
            raise ClusterError(
                f"{backup.label} has tablespaces ({listed}), and a restore beside the live cluster would need those "
                "same directories. Restore on a host of its own (pgbackrest --tablespace-map-all=DIRECTORY restore), "
                "or bring the tables back into the default tablespace: ALTER TABLE … SET TABLESPACE pg_default, DROP "
                "TABLESPACE, and a full backup."
            )

    def restore(self, backup: Backup, tell: Callable[[str], None], processes: int | None = None) -> None:
        """Fill `directory`, which is made and has to be empty, with a backup.

        Raises:
            ClusterError: it is not empty.
            pgbackrest.PgbackrestError: pgBackRest could not.
        """
        for path in (self.directory, self.private):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(path, pgbackrest.USER, pgbackrest.USER)
            path.chmod(0o700)
        if any(self.directory.iterdir()):
            raise ClusterError(f"{self.directory} is not empty, and nothing in it was touched")
        words = [
            *pgbackrest.of_directory(self.directory),
            # A lock of its own: a backup that runs now is not in its way, and it is not in the way of one.
            f"--lock-path={self.private}/lock",
            # Restoring, it empties what it takes for this cluster's: in the ordinary place that is the live one's.
            f"--spool-path={self.private}/spool",
            f"--repo={backup.repository}",
            f"--set={backup.label}",
            # How far it goes is said when it starts, and nothing of that stays in its files.
            "--type=none",
            f"--process-max={processes or self.known.processes}",
            "restore",
        ]
        pgbackrest.stream(self.known.stanza, *words, tell=tell)
        for name in ("recovery.signal", "standby.signal"):
            (self.directory / name).unlink(missing_ok=True)

    def start(
        self,
        target: Target | None = None,
        *,
        timeline: int = 0,
        becomes_live: bool = False,
        settings: dict[str, str] | None = None,
    ) -> None:
        """Start its server and let it recover to the target; without one it simply starts, as it was stopped.

        `timeline` is the one to follow. `becomes_live` keeps what it writes for the archive. It does not wait: see
        `arrive` and `wait_until_it_answers`.
        """
        for name in ("recovery.signal", "standby.signal"):
            (self.directory / name).unlink(missing_ok=True)
        if target is not None:
            # At the end of the archive recovery would promote at once, and would take an error of the repository for
            # the end; a standby waits there.
            name = "standby.signal" if target.kind == "latest" else "recovery.signal"
            self.write(self.directory / name, "")
        self.write(self.private / "postgresql.conf", "# All settings are on the command line.\n")
        self.write(self.private / "pg_hba.conf", "local all all trust\n")
        self.write(self.private / "pg_ident.conf", "")
        self.write(self.log, "")
        wanted = self._settings(becomes_live=becomes_live)
        if target is not None:
            wanted |= {
                "recovery_target_timeline": str(timeline or target.timeline or "latest"),
                **target.settings(),
            }
        words = [
            word for name, value in (wanted | (settings or {})).items() for word in ("-c", f"{name}={value}")
        ]
        command = [
            f"{self.known.bin_directory}/pg_ctl",
            "start",
            "--no-wait",
            f"--pgdata={self.directory}",
            f"--log={self.log}",
            f"--options={shlex.join(words)}",
        ]
        done = subprocess.run(
            [*self._launcher(), *command], check=False, capture_output=True, text=True, cwd="/"
        )
        if done.returncode:
            raise ClusterError(
                f"the restored cluster did not start: {(done.stderr + done.stdout).strip()}\n{self.end_of_log()}"
            )
        # pg_ctl is back before the server has written that it is there.
        limit = time.monotonic() + 60
        while not (self.is_running() or "FATAL" in self.said()):
            if time.monotonic() > limit:
                raise ClusterError(f"the restored cluster did not start:\n{self.end_of_log()}")
            time.sleep(0.05)

    def arrive(
        self,
        target: Target,
        *,
        last_segment: str = "",
        stall_seconds: float = 600,
        fetch_seconds: float = FETCH_SECONDS,
        watch: Callable[[str], None] = lambda _line: None,
    ) -> Arrival:
        """Wait until recovery is at its target and paused there.

        For the end of the archive `last_segment` is the last WAL segment that it has, which has to be replayed.
        `stall_seconds` is how long nothing at all may happen, `fetch_seconds` how long a
        segment may be away that is there. `watch` is told of the segment that is replayed.

        Raises:
            NotReachedError: recovery ended elsewhere, or its server did; with its words.
            ClusterError: the disk becomes full, or nothing happens any more.
        """
        progress, moved, told = "", time.monotonic(), ""
        while True:
            # The order matters: a server that is gone by now has written all that it had to say.
            alive = self.is_running()
            said = self.said()
            replayed = RESTORED.findall(said)
            if replayed and replayed[-1] != told:
                told = replayed[-1]
                watch(told)
            if not alive:
                if not self._raise_limits(said):
                    raise self._ended(said, target)
                self._again(target)
                continue
            state = self._state()
            if state and (arrival := self._arrival(state, target, last_segment)):
                return arrival
            if f"{state.lsn if state else ''} {len(replayed)}" != progress:
                progress, moved = f"{state.lsn if state else ''} {len(replayed)}", time.monotonic()
            still = time.monotonic() - moved
            if still > fetch_seconds and state and state.is_waiting:
                raise NotReachedError(
                    f"the archive goes on to {last_segment}, and its WAL could be replayed to {state.lsn} only: a "
                    f"segment is missing, or cannot be read.\n{self.end_of_log()}"
                )
            if still > stall_seconds:
                raise ClusterError(
                    f"nothing was replayed for {stall_seconds:.0f} s; the last words were:\n{self.end_of_log()}"
                )
            if shutil.disk_usage(self.directory).free < RESERVE_BYTES // 2:
                raise ClusterError(
                    f"{self.directory} has less than {RESERVE_BYTES // 2 // 1024**2} MB free, and the replay was ended "
                    "before it could take them from the live cluster. Make room, and do it again."
                )
            time.sleep(0.1)

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A session of the superuser."""
        return psycopg.connect(
            host=str(self.private),
            port=self.port,
            user=pgbackrest.USER,
            dbname=database,
            connect_timeout=10,
            autocommit=True,
            **options,
        )

    def promote(self, seconds: float = 600) -> int:
        """End recovery and return the timeline that begins; ClusterError where that takes longer than `seconds`."""
        with self.connect() as connection:
            row = connection.execute("SELECT pg_promote(true, %s)", [int(seconds)]).fetchone()
            if not (row and row[0]):
                raise ClusterError(f"recovery did not end within {seconds:.0f} s:\n{self.end_of_log()}")
            # What pg_controldata says is of the last checkpoint, and promoting waits for none.
            connection.execute("CHECKPOINT")
            row = connection.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone()
        assert row is not None
        return int(row[0])

    def wait_until_it_answers(self, seconds: float = 300) -> None:
        """Wait until it takes sessions; ClusterError with its words where it ends, or does not within `seconds`."""
        limit = time.monotonic() + seconds
        while True:
            alive = self.is_running()
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if not alive or time.monotonic() > limit:
                    raise ClusterError(
                        f"the restored cluster does not answer: {error}\n{self.end_of_log()}"
                    ) from error
            else:
                return
            time.sleep(0.1)

    def stop(self, seconds: int = 3600) -> None:
        """Stop its server in order; nothing happens where it does not run."""
        if self.is_running():
            self._pg_ctl("stop", "--mode=fast", "--wait", f"--timeout={seconds}")

    def kill(self) -> None:
        """Stop its server at once, whatever state it is in; nothing happens where it does not run."""
        if self.is_running():
            self._pg_ctl("stop", "--mode=immediate", "--wait", "--timeout=60")

    def remove(self) -> None:
        """Stop it and remove all that belongs to it; nothing happens where there is nothing."""
        if self.directory.is_dir():
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.private, ignore_errors=True)
        left = [str(path) for path in (self.directory, self.private) if path.exists()]
        if left:
            raise ClusterError(f"could not remove {', '.join(left)}: remove it as root")

    def is_running(self) -> bool:
        """Whether its server runs: the process that postmaster.pid names, if it is a server of this directory."""
        try:
            pid = int((self.directory / "postmaster.pid").read_text().split()[0])
            # A number that a power cut left in the file may be anybody's by now.
            return Path(f"/proc/{pid}/cwd").resolve() == self.directory.resolve()
        except (OSError, ValueError, IndexError):
            return False

    def control(self) -> dict[str, str]:
        """What pg_controldata says, by its words."""
        return controldata(self.known, self.directory)

    def said(self) -> str:
        """All that its server said since it was started."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def end_of_log(self, lines: int = 15) -> str:
        """The end of that."""
        return "\n".join(self.said().splitlines()[-lines:])

    def _settings(self, *, becomes_live: bool) -> dict[str, str]:
        """All that has to hold, since the command line alone wins over what ALTER SYSTEM left in its files."""
        control = self.control()
        limits = {name: max(int(control[words]), self.limits.get(name, 0)) for name, words in LIMITS.items()}
        fetch = [
            "pgbackrest",
            f"--stanza={self.known.stanza}",
            *pgbackrest.of_directory(self.directory),
            # Of its own, both: the live cluster's archiving uses the ordinary ones.
            f"--spool-path={self.private}/spool",
            f"--lock-path={self.private}/lock",
            "--archive-async",
            f"--archive-get-queue-max={FETCHED_AHEAD_MB}MiB",
            "archive-get",
        ]
        return {
            "config_file": f"{self.private}/postgresql.conf",
            "hba_file": f"{self.private}/pg_hba.conf",
            "ident_file": f"{self.private}/pg_ident.conf",
            "external_pid_file": "",
            "listen_addresses": "",
            "port": str(self.port),
            "unix_socket_directories": str(self.private),
            "ssl": "off",
            "cluster_name": "restored",
            "shared_buffers": "128MB",
            "shared_preload_libraries": "",
            "session_preload_libraries": "",
            "huge_pages": "try",
            **{name: str(value) for name, value in limits.items()},
            "hot_standby": "on",
            "primary_conninfo": "",
            "primary_slot_name": "",
            "synchronous_standby_names": "",
            "restore_command": f'{shlex.join(fetch)} %f "%p"',
            "archive_mode": "on" if becomes_live else "off",
            "archive_command": "",
            "archive_library": "",
            "recovery_end_command": "",
            "archive_cleanup_command": "",
            "max_wal_size": f"{MAX_WAL_MB}MB",
            "restart_after_crash": "off",
            # See above: a statement that waits for a lock of recovery would wait forever.
            "lock_timeout": "30s",
            "logging_collector": "off",
            "log_destination": "stderr",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] ",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "lc_messages": "C",
        }

    def _launcher(self) -> list[str]:
        """The words before pg_ctl."""
        if os.geteuid() != 0 or not self.unit or not Path("/run/systemd/system").is_dir():
            return pgbackrest.as_user()
        return [
            *("systemd-run", "--quiet", "--collect", f"--unit={self.unit}", f"--uid={pgbackrest.USER}"),
            # Without the server's own file of its number: systemd would wait for it when the server ends at once.
            "--property=Type=forking",
            # In order, as pg_ctl does it: SIGTERM would wait for sessions to end.
            "--property=KillSignal=SIGINT",
            "--property=KillMode=mixed",
            "--property=Nice=5",
            "--",
        ]

    def _again(self, target: Target) -> None:
        """Start with the limits that the WAL asked for; all else is as it was on the command line before."""
        options = (self.directory / "postmaster.opts").read_text()
        words = shlex.split(options)[1:]
        given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))
        self.start(
            target,
            timeline=0
            if given["recovery_target_timeline"] == "latest"
            else int(given["recovery_target_timeline"]),
            becomes_live=given["archive_mode"] == "on",
            settings={name: value for name, value in given.items() if name not in LIMITS},
        )

    def _raise_limits(self, said: str) -> bool:
        """Take in what a server wanted that gave up because a limit was too low; says whether there was one."""
        found = {
            name: int(value) for name, value in TOO_LOW.findall(said) if int(value) > self.limits.get(name, 0)
        }
        self.limits.update(found)
        return bool(found)

    def _state(self) -> State | None:
        """How far recovery is; None while it takes no sessions yet, and when it is over."""
        try:
            with self.connect() as connection:
                row = connection.execute(STATE).fetchone()
        except psycopg.OperationalError:
            return None
        return State(*row) if row else None

    def _arrival(self, state: State, target: Target, last_segment: str) -> Arrival | None:
        """Where recovery is paused, if it is at the target; None while it goes on."""
        stopping = list(STOPPING.finditer(self.said()))
        if state.pause == "paused" and not stopping:
            # Paused for another reason: a limit that is too low. Resumed it ends, at once, and has said what it wants.
            with contextlib.suppress(psycopg.OperationalError), self.connect() as connection:
                connection.execute("SELECT pg_wal_replay_resume()")
            return None
        if target.kind == "latest":
            if state.is_waiting and is_replayed(last_segment, lsn_bytes(state.lsn)):
                return Arrival("recovery has replayed all of the archive", state.lsn, state.last_commit)
            return None
        if state.pause != "paused":
            return None
        last = stopping[-1]
        left_out = last["edge"] == "before" and last["what"] in {"commit", "abort"}
        return Arrival(
            said=last[0].removeprefix("LOG:").strip(),
            lsn=state.lsn,
            last_commit=state.last_commit,
            left_out_xid=int(last["xid"]) if left_out else None,
            left_out_at=(last["time"] or "") if left_out else "",
        )

    def _ended(self, said: str, target: Target) -> NotReachedError:
        """Why a server is gone that should be paused at its target."""
        if "requested recovery stop point is before consistent recovery point" in said:
            return BeforeConsistencyError(f"{target} is before the end of the backup that was restored")
        if "recovery ended before configured recovery target was reached" in said:
            last = re.findall(r"last completed transaction was at log time (.+)", said)
            return NotReachedError(
                f"{target} was not reached: the archive's WAL ends before it"
                + (f"; its last transaction is of {last[-1]}" if last else "")
            )
        return NotReachedError(f"recovery to {target} ended by itself:\n{self.end_of_log()}")

    def _pg_ctl(self, *words: str) -> None:
        command = [
            *pgbackrest.as_user(),
            f"{self.known.bin_directory}/pg_ctl",
            f"--pgdata={self.directory}",
            *words,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        if done.returncode and self.is_running():
            raise ClusterError(
                f"the restored cluster does not stop: {(done.stdout + done.stderr).strip()}\n{self.end_of_log()}"
            )

    def write(self, path: Path, text: str) -> None:
        """Write a file of the server's, that only it can read."""
        path.write_text(text)
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, pgbackrest.USER, pgbackrest.USER)


def controldata(known: Settings, directory: Path) -> dict[str, str]:
    """What pg_controldata says of a data directory, by its words.

    Raises:
        ClusterError: there is no cluster in it.
    """
    done = subprocess.run(
        [f"{known.bin_directory}/pg_controldata", str(directory)],
        check=False,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C"},
    )
    if done.returncode:
        raise ClusterError(f"{directory} has no cluster: {done.stderr.strip()}")
    lines = (line.partition(":") for line in done.stdout.splitlines())
    return {words.strip(): value.strip() for words, _, value in lines}


def is_replayed(segment: str, lsn: int) -> bool:
    """Whether replay that came to `lsn` is in the last segment, or beyond it."""
    return not segment or lsn > Segment.of(segment).number * SEGMENT_BYTES


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return path if path.is_dir() else existing(path.parent)
