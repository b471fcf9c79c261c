"""pgBackRest: its commands, and what its repository has."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

USER = "postgres"
# The status of a repository that has WAL and no backup yet: https://pgbackrest.org/command.html#command-info
NO_BACKUP = 2
# Of a damaged file it prints what it could not understand, byte by byte.
AS_TEXT: Any = {"text": True, "encoding": "utf-8", "errors": "replace"}


class PgbackrestError(Exception):
    """A command failed; the message has its errors."""


@dataclass(frozen=True)
class Backup:
    """One backup of a repository. Sizes are in bytes; LSNs and WAL segments as PostgreSQL writes them."""

    label: str
    kind: str
    repository: int
    # Which life of the cluster it is of: pgBackRest counts on when PostgreSQL is upgraded.
    cluster: int
    started: datetime
    stopped: datetime
    wal_first: str
    wal_last: str
    lsn_first: str
    lsn_last: str
    database_bytes: int
    # What this backup alone takes in the repository, and what it takes with those that it builds on.
    repository_own_bytes: int
    repository_bytes: int
    failed: bool
    needs: tuple[str, ...]

    @property
    def timeline(self) -> int:
        """The timeline in which it ended."""
        return int(self.wal_last[:8], 16)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.stopped - self.started).total_seconds()

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Backup:
        """Read one entry of `info --output=json`."""
        info, lsn = entry["info"], entry.get("lsn") or {}
        return cls(
            label=entry["label"],
            kind=entry["type"],
            repository=entry["database"]["repo-key"],
            cluster=entry["database"]["id"],
            started=datetime.fromtimestamp(entry["timestamp"]["start"], UTC),
            stopped=datetime.fromtimestamp(entry["timestamp"]["stop"], UTC),
            wal_first=entry["archive"]["start"],
            wal_last=entry["archive"]["stop"],
            lsn_first=lsn.get("start", ""),
            lsn_last=lsn.get("stop", ""),
            database_bytes=info["size"],
            repository_own_bytes=info["repository"]["delta"],
            repository_bytes=info["repository"]["size"],
            # True where pages had a wrong checksum: it is a copy of a damaged database.
            failed=bool(entry.get("error")),
            needs=tuple(entry.get("reference") or ()),
        )


@dataclass(frozen=True)
class Archive:
    """The WAL that a repository has of one life of the cluster (`identity`, such as 15-1)."""

    identity: str
    repository: int
    cluster: int
    first: str
    last: str


@dataclass(frozen=True)
class Repository:
    """One of the places where backups are kept. `status` is pgBackRest's code, 0 if all is well."""

    key: int
    status: int
    message: str


@dataclass(frozen=True)
class Stanza:
    """What the repositories have of a stanza. `status` is pgBackRest's code, 0 if all is well."""

    name: str
    status: int
    message: str
    backups: list[Backup]
    archives: list[Archive]
    repositories: list[Repository]
    # Of the cluster that the newest backups are of; what pg_controldata calls it.
    system_identifier: str


def as_user(user: str = USER) -> list[str]:
    """The words before a command that `user` has to run: none for that user, others for root."""
    return [] if pwd.getpwuid(os.geteuid()).pw_name == user else ["runuser", "-u", user, "--"]


def command(stanza: str, *words: str) -> list[str]:
    """The command line of a pgBackRest command."""
    return [*as_user(), "pgbackrest", f"--stanza={stanza}", *words]


def of_directory(path: Path) -> list[str]:
    """The options that name a data directory of this host, also where the cluster's own is on another one."""
    return ["--reset-pg1-host", f"--pg1-path={path}"]


def ask(stanza: str, *words: str, seconds: float | None = None) -> str:
    """Run a command and return what it prints.

    Raises:
        PgbackrestError: it failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(
            command(stanza, *words), check=False, capture_output=True, cwd="/", timeout=seconds, **AS_TEXT
        )
    except subprocess.TimeoutExpired as late:
        raise PgbackrestError(f"pgbackrest {words[-1]} did not end within {seconds:g} s") from late
    if done.returncode:
        raise PgbackrestError(errors(done.stdout + done.stderr) or f"status {done.returncode}")
    said: str = done.stdout
    return said


def answer(stanza: str, *words: str, seconds: float | None = None) -> Any:
    """Run a command with --output=json and return what it prints, read.

    Raises:
        PgbackrestError: as `ask`, or what it printed is no JSON.
    """
    said = ask(stanza, "--output=json", "--log-level-console=error", *words, seconds=seconds)
    try:
        # Not strict: a message about a damaged file has bytes of it.
        return json.loads(said, strict=False)
    except ValueError as error:
        raise PgbackrestError(f"pgbackrest {words[-1]} printed what is no JSON: {error}") from error


def stream(stanza: str, *words: str, tell: Callable[[str], None]) -> None:
    """Run a command that takes long and hand each line that it prints to `tell`.

    Raises:
        PgbackrestError: it failed; with the lines that say why.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command(stanza, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", **AS_TEXT
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                tell(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise PgbackrestError(errors("".join(lines)) or f"status {process.returncode}")


def tablespaces(stanza: str, backup: Backup) -> dict[str, str]:
    """The tablespaces of a backup beside PostgreSQL's own: their directories by their names.

    Raises:
        PgbackrestError: pgBackRest could not say.
    """
    words = (f"--repo={backup.repository}", f"--set={backup.label}", "info")
    found = answer(stanza, *words)
    entries = found[0]["backup"][0].get("tablespace") or []
    return {entry["name"]: entry["destination"] for entry in entries}


def errors(said: str) -> str:
    """The errors in what pgBackRest said, with their hints, and without its time stamps."""
    found = re.findall(r"(?:ERROR|WARN): ((?:.+)(?:\n {7,}.*)*)", said)
    return "\n".join(re.sub(r"\n\s+", "\n  ", one).strip() for one in found)


def info(stanza: str) -> Stanza:
    """Ask what the repositories have.

    Raises:
        PgbackrestError: pgBackRest could not say.
    """
    found = answer(stanza, "info")
    own = next((entry for entry in found if entry["name"] == stanza), None)
    if own is None:
        return Stanza(stanza, 1, "the repository does not know this stanza", [], [], [], "")
    archives = [
        Archive(
            entry["id"], entry["database"]["repo-key"], entry["database"]["id"], entry["min"], entry["max"]
        )
        for entry in own.get("archive", [])
        if entry.get("min")
    ]
    backups = [Backup.of(entry) for entry in own.get("backup", [])]
    repositories = [
        Repository(entry["key"], entry["status"]["code"], entry["status"]["message"])
        for entry in own.get("repo", [])
    ]
    newest = max(own.get("db", []), key=lambda entry: int(entry["id"]), default={"system-id": ""})
    return Stanza(
        name=stanza,
        status=own["status"]["code"],
        message=own["status"]["message"],
        backups=backups,
        archives=archives,
        repositories=repositories,
        system_identifier=str(newest["system-id"]),
    )
