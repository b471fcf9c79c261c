"""A PostgreSQL with an archive and backups of its own, in a temporary directory: what clones are made of."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from toolbox import pgbackrest
from toolbox.settings import Settings

BIN = Path("/usr/lib/postgresql/15/bin")
STANZA = "original"
PORT = 5432

CONFIG = """\
[global]
repo1-path={home}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=correct horse battery staple
repo1-bundle=y
repo1-retention-full=9
compress-type=zst
start-fast=y
archive-async=y
lock-path={home}/lock
spool-path={home}/spool
log-level-file=off
log-level-console=info
[global:archive-push]
log-level-console=warn
[original]
pg1-path={home}/15/main
pg1-port=5432
pg1-socket-path={home}/socket
"""


@dataclass
class Original:
    """The cluster. `home` is where all of it is; the repository's configuration is in the environment."""

    home: Path
    # More lines for its pgbackrest.conf, of a second repository, and the numbers of those that it then has.
    more: str = ""
    repositories: tuple[int, ...] = (1,)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.home / "15/main"

    @property
    def known(self) -> Settings:
        """What a host's file of settings would say."""
        values: dict[str, Any] = {
            "name": "original",
            "parts": ["database", "repository"],
            "stanza": STANZA,
            "server_version": "15",
            "server_cluster": "main",
            "data_directory": self.data,
            "port": PORT,
            "pooler_port": 6432,
            "database": "product",
            "version_table": "alembic_version",
            "database_address": "",
            "repository_address": "",
            "database_user": "",
            "password_file": self.home / "none",
            "repositories": list(self.repositories),
            "repository_path": self.home / "repository",
            "lock_directory": self.home / "lock",
            "processes": 2,
            "retention_days": 30,
            "dump_directory": self.home / "dumps",
            "dump_retention_days": 30,
            "state_directory": self.home / "state",
            "metrics_directory": self.home / "metrics",
            # Nothing is ever due.
            "schedule": {},
            "time_limit": 3600,
            "rpo_seconds": 3600,
            "rto_seconds": 900,
            "drill_directory": self.home / "drill",
            "drill_reports": self.home / "drills",
            "drill_paths": ["/health/ready"],
            "drill_url_variable": "DATABASE_URL",
            "drill_environment": {},
            "drill_releases": self.home / "no-releases",
            "clone_directory": self.home / "clone",
            "clone_address": "127.0.0.1",
            "clone_port": 5439,
            "clone_clients": ["127.0.0.1"],
            "clone_roles": ["migrator"],
        }
        return Settings(**{field.name: values[field.name] for field in fields(Settings)})

    @property
    def repository(self) -> Path:
        """Its repository."""
        return self.home / "repository"

    def make(self) -> None:
        """Make the cluster, its repository and the product's database with a table."""
        for name in ("15/main", "socket", "repository", "lock", "spool", "state", "dumps", "metrics", "none"):
            (self.home / name).mkdir(parents=True)
        shutil.chown(self.home, pgbackrest.USER)
        self.as_postgres(["chmod", "700", str(self.home)])
        subprocess.run(["chown", "-R", f"{pgbackrest.USER}:", str(self.home)], check=True)
        config = self.home / "pgbackrest.conf"
        config.write_text(
            CONFIG.format(home=self.home).replace(
                "[global:archive-push]", f"{self.more}[global:archive-push]"
            )
        )
        config.chmod(0o644)
        os.environ["PGBACKREST_CONFIG"] = str(config)
        os.environ["PGBACKREST_CONFIG_INCLUDE_PATH"] = str(self.home / "none")
        self.as_postgres(
            [str(BIN / "initdb"), "--auth=trust", "--data-checksums", "--locale=C.UTF-8", str(self.data)]
        )
        self.start()
        pgbackrest.ask(STANZA, "stanza-create")
        with self.connect() as session:
            session.execute("CREATE DATABASE product")
        with self.connect("product") as session:
            session.execute(
                "CREATE TABLE notes (id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(), text text)"
            )

    def start(self, data: Path | None = None, **settings: str) -> None:
        """Start it; in another directory where one is given."""
        wanted = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.home / "socket"),
            "port": str(PORT),
            "archive_mode": "on",
            "archive_command": f"pgbackrest --stanza={STANZA} archive-push %p",
            "fsync": "off",
            "shared_buffers": "16MB",
        } | settings
        options = shlex.join(word for name, value in wanted.items() for word in ("-c", f"{name}={value}"))
        log = self.home / "original.log"
        self.as_postgres(
            [str(BIN / "pg_ctl"), "start", "-w", "-D", str(data or self.data), "-l", str(log), "-o", options]
        )

    def stop(self) -> None:
        """Stop it in order."""
        self.as_postgres([str(BIN / "pg_ctl"), "stop", "-w", "-m", "fast", "-D", str(self.data)])

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A session."""
        return psycopg.connect(
            host=str(self.home / "socket"), port=PORT, user=pgbackrest.USER, dbname=database, autocommit=True
        )

    def note(self, text: str) -> int:
        """Write a row and return the number of the transaction that did."""
        with self.connect("product") as session:
            row = session.execute(
                "INSERT INTO notes (text) VALUES (%s) RETURNING pg_current_xact_id()::text", [text]
            ).fetchone()
        assert row
        return int(row[0])

    def moment(self) -> datetime:
        """Now, by its clock; what is written next is younger."""
        with self.connect() as session:
            row = session.execute("SELECT clock_timestamp()").fetchone()
        assert row
        found: datetime = row[0]
        return found.astimezone(UTC)

    def restore_point(self, name: str) -> str:
        """Make a restore point and return its LSN."""
        with self.connect() as session:
            row = session.execute("SELECT pg_create_restore_point(%s)::text", [name]).fetchone()
        assert row
        return str(row[0])

    def back_up(self, kind: str) -> str:
        """Make a backup and return its label."""
        pgbackrest.ask(STANZA, f"--type={kind}", "backup")
        return max(pgbackrest.info(STANZA).backups, key=lambda one: one.stopped).label

    def archive(self) -> str:
        """Have all WAL so far in the archive; returns the name of its last segment."""
        self.note("the last of its segment")
        with self.connect() as session:
            row = session.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row
            segment = str(row[0])
            until = time.monotonic() + 60
            while True:
                row = session.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
                if row and row[0] and row[0][:24] >= segment:
                    return segment
                assert time.monotonic() < until, f"{segment} was not archived, but {row}"
                time.sleep(0.05)

    def stored(self, segment: str) -> Path:
        """The file of a segment in the repository."""
        (found,) = self.repository.glob(f"archive/{STANZA}/*/*/{segment}-*")
        return found

    @contextmanager
    def repository_kept(self) -> Iterator[None]:
        """Put the repository back as it was, when the block is over."""
        kept = self.home / "kept"
        # -a: owners, modes and times too.
        subprocess.run(["cp", "-a", self.repository, kept], check=True)
        try:
            yield
        finally:
            shutil.rmtree(self.repository, ignore_errors=True)
            kept.rename(self.repository)

    def destroy(self) -> None:
        """End whatever runs in it and remove it."""
        for pidfile in self.home.glob("*/*/postmaster.pid"):
            stop = [str(BIN / "pg_ctl"), "stop", "-m", "immediate", "-D", str(pidfile.parent)]
            subprocess.run([*pgbackrest.as_user(), *stop], check=False, capture_output=True, cwd="/")
        # What sends WAL in the background goes on for a moment, and writes.
        limit = time.monotonic() + 60
        while self.home.exists():
            shutil.rmtree(self.home, ignore_errors=time.monotonic() < limit)

    @staticmethod
    def as_postgres(command: list[str]) -> None:
        """Run a program as the cluster's owner."""
        subprocess.run([*pgbackrest.as_user(), *command], check=True, cwd="/", stdout=subprocess.DEVNULL)
