"""Whether WAL leaves the database host: what PostgreSQL says of it, held against what the repositories have."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from toolbox import database, pgbackrest, repository, segments
from toolbox.output import Finding, size_text
from toolbox.settings import Settings

SERVER = """
SELECT current_setting('archive_mode') AS mode, current_setting('archive_command') AS command,
       (SELECT last_archived_wal FROM pg_stat_archiver) AS last_archived,
       (SELECT last_archived_time FROM pg_stat_archiver) AS last_archived_at,
       (SELECT failed_count FROM pg_stat_archiver) AS failed,
       (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()) AS wal_bytes,
       clock_timestamp() AS now
"""
STATUSES = "SELECT name, modification FROM pg_ls_archive_statusdir() ORDER BY modification, name"
# The heartbeat ends a segment each minute, if archive_timeout has not: twice that is late.
LATE = timedelta(seconds=120)
# Of the file system that pg_wal is on.
FREE_PERCENT = {"warning": 15, "critical": 5}
RUNBOOK = "docs/runbooks/archive-behind.md"
# SEGMENT-SHA1.SUFFIX, and what has no checksum in its name.
STORED_NAME = re.compile(r"(?:.*/)?(?P<name>[^/-]+?)(?:-[0-9a-f]{40}(?:\.\w+)?)?")
# As many directories of 256 segments as PostgreSQL may have in pg_wal that it has archived.
NEWEST_DIRECTORIES = 2


@dataclass(frozen=True)
class Server:
    """What PostgreSQL says. `ready` and `done` are the files that wait, and that it holds for archived, with when."""

    mode: str
    command: str
    last_archived: str
    last_archived_at: datetime | None
    failed: int
    wal_bytes: int
    now: datetime
    ready: dict[str, datetime] = field(default_factory=dict)
    done: dict[str, datetime] = field(default_factory=dict)

    @property
    def waiting_since(self) -> datetime | None:
        """Since when the oldest file waits."""
        return min(self.ready.values(), default=None)


@dataclass(frozen=True)
class Stored:
    """What a repository says: its newest segment, and the files that it should have and has not. Or its error."""

    newest: str = ""
    missing: list[str] = field(default_factory=list)
    error: str = ""


def ask_server(known: Settings) -> Server:
    """Ask the cluster.

    Raises:
        DatabaseError: it does not answer.
    """
    way = argparse.Namespace(host=database.SOCKETS, port=known.port, dbname="postgres", user=pgbackrest.USER)
    with database.connect(way, "bundle-archive-status") as session:
        row = session.row(SERVER)
        statuses = session.rows(STATUSES)
    by_state: dict[str, dict[str, datetime]] = {"ready": {}, "done": {}}
    for status in statuses:
        name, _, state = status["name"].rpartition(".")
        by_state.setdefault(state, {})[name] = status["modification"]
    return Server(
        mode=row["mode"],
        command=row["command"],
        last_archived=row["last_archived"] or "",
        last_archived_at=row["last_archived_at"],
        failed=row["failed"],
        wal_bytes=row["wal_bytes"],
        now=row["now"],
        ready=by_state["ready"],
        done=by_state["done"],
    )


def ask_repositories(known: Settings, server: Server) -> dict[int, Stored]:
    """Ask each repository for what PostgreSQL says that it has archived; by the repository's key.

    Raises:
        PgbackrestError: pgBackRest does not answer at all.
    """
    stanza = pgbackrest.info(known.stanza)
    return {one.key: ask_repository(stanza, one, server) for one in stanza.repositories}


def ask_repository(stanza: pgbackrest.Stanza, one: pgbackrest.Repository, server: Server) -> Stored:
    """Ask one repository."""
    if one.status and one.status != pgbackrest.NO_BACKUP:
        return Stored(error=one.message)
    archives = [archive for archive in stanza.archives if archive.repository == one.key]
    if not archives:
        return Stored(missing=believed(server, ""))
    archive = max(archives, key=lambda each: each.cluster)
    names = believed(server, archive.first)
    directories = sorted({name[:16] for name in names})[-NEWEST_DIRECTORIES:]
    there: set[str] = set()
    try:
        for directory in directories:
            path = f"archive/{stanza.name}/{archive.identity}/{directory}"
            listed = repository.files(stanza.name, one.key, path)
            there |= {found["name"] for file in listed if (found := STORED_NAME.fullmatch(file.path))}
    except pgbackrest.PgbackrestError as error:
        return Stored(archive.last, error=str(error))
    return Stored(archive.last, [name for name in names if name[:16] in directories and name not in there])


def believed(server: Server, first: str) -> list[str]:
    """The segments that PostgreSQL holds for archived and still knows of, from `first` of the repository on."""
    names = {server.last_archived, *server.done}
    return sorted(
        name
        for name in names
        if segments.NAME.fullmatch(name) and not (first[:8] == name[:8] and name < first)
    )


def judge(server: Server, stored: Mapping[int, Stored], free: Path, rpo: timedelta) -> list[Finding]:
    """What is wrong, by what was said; `free` is a path on the file system of pg_wal."""
    if server.mode == "off" or not server.command:
        advice = f"ansible-playbook playbooks/provision.yml; see {RUNBOOK}"
        off = "archive_mode is off" if server.mode == "off" else "archive_command is empty"
        return [Finding("critical", "archiving", f"{off}: no WAL leaves this host", advice)]
    found = [*waiting(server, stored, rpo), *lost(server, stored)]
    usage = shutil.disk_usage(free)
    percent = 100 * usage.free / usage.total
    level = next((level for level in ("critical", "warning") if percent < FREE_PERCENT[level]), "ok")
    if level != "ok":
        text = f"{size_text(usage.free)} free ({percent:.0f} %); pg_wal has {size_text(server.wal_bytes)}"
        found.append(Finding(level, "disk", text, f"see {RUNBOOK}"))
    return found


def waiting(server: Server, stored: Mapping[int, Stored], rpo: timedelta) -> list[Finding]:
    """WAL that is kept because it did not get away."""
    errors = [f"repository {key}: {one.error}" for key, one in stored.items() if one.error]
    why = f"; {'; '.join(errors)}" if errors else ""
    last = f"{server.last_archived_at:%Y-%m-%d %H:%M:%S} UTC" if server.last_archived_at else "ever"
    since = server.waiting_since
    if since is None or server.now - since < LATE:
        return [
            Finding("warning", "repository", f"{error}; nothing waits for it yet", f"see {RUNBOOK}")
            for error in errors
        ]
    text = (
        f"WAL is kept since {since:%Y-%m-%d %H:%M:%S} UTC: {len(server.ready)} segments wait, and the last one was "
        f"archived {last}{why}"
    )
    level = "critical" if server.now - since > rpo else "warning"
    return [Finding(level, "archiving", text, f"nothing is lost while the disk has room; see {RUNBOOK}")]


def lost(server: Server, stored: Mapping[int, Stored]) -> list[Finding]:
    """WAL that PostgreSQL holds for archived and no repository has: the command says that all is well, and lies."""
    found = []
    for key, one in stored.items():
        if not one.missing:
            continue
        moments = [server.done[name] for name in one.missing if name in server.done]
        since = f" since {min(moments):%Y-%m-%d %H:%M:%S} UTC" if moments else ""
        more = f" and {len(one.missing) - 3} more" if len(one.missing) > 3 else ""
        names = f"{', '.join(one.missing[:3])}{more}"
        found.append(
            Finding(
                "critical",
                f"repository {key}",
                f"archiving fails silently{since}: PostgreSQL says that {names} is archived, and it is not there",
                f"archive_command is {server.command!r}; what is still in pg_wal can be saved: see {RUNBOOK}",
            )
        )
    return found
