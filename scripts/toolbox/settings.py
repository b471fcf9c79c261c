"""What a host's commands know of its cluster and backups: /etc/bundle/backup.json, which Ansible writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FILE = Path("/etc/bundle/backup.json")


class SettingsError(Exception):
    """The file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """The file's content. Paths are absolute, `parts` is what the host is: database, repository or both."""

    name: str
    parts: list[str]
    stanza: str
    server_version: str
    server_cluster: str
    data_directory: Path
    port: int
    # Of pgBouncer on this host.
    pooler_port: int
    database: str
    # Alembic's, in which the product's revision is.
    version_table: str
    # Where it is reached from a repository host of its own, as whom, and the password (libpq's format); the address is
    # empty on the database host, where postgres comes through the socket.
    database_address: str
    # Of the host that has the repository and the dumps; empty where that is this one.
    repository_address: str
    database_user: str
    password_file: Path
    # pgBackRest's numbers: 1, and 2 where there is one in an object store.
    repositories: list[int]
    repository_path: Path
    # Of pgBackRest.
    lock_directory: Path
    processes: int
    retention_days: int
    dump_directory: Path
    dump_retention_days: int
    state_directory: Path
    metrics_directory: Path
    schedule: dict[str, str]
    # In seconds: how long a job may take, how much work may be lost, how long a restore may take.
    time_limit: int
    rpo_seconds: int
    rto_seconds: int
    # The cluster of a drill, its reports, and where releases of the product are, if any are on this host.
    drill_directory: Path
    drill_reports: Path
    drill_paths: list[str]
    # What the product is told the database's URL by, and what else it is told in a drill.
    drill_url_variable: str
    drill_environment: dict[str, str]
    drill_releases: Path
    # The clone of a rehearsal: where it is, where it listens, and who may come in, from where.
    clone_directory: Path
    clone_address: str
    clone_port: int
    clone_clients: list[str]
    clone_roles: list[str]

    @property
    def bin_directory(self) -> Path:
        """Where PostgreSQL's own programs are."""
        return Path(f"/usr/lib/postgresql/{self.server_version}/bin")


def load(path: Path = FILE) -> Settings:
    """Read the file.

    Raises:
        SettingsError: it is not there, is no JSON, or lacks something.
    """
    again = "Run ansible-playbook playbooks/provision.yml."
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; this host has no backups configured. {again}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{path} is no JSON: {error}. {again}") from error
    names = {field.name: str(field.type) for field in fields(Settings)}
    missing = sorted(names.keys() - found.keys())
    if missing:
        raise SettingsError(f"{path} lacks {', '.join(missing)}: it is of an older version. {again}")
    values: dict[str, Any] = {
        name: Path(found[name]) if kind == "Path" else found[name] for name, kind in names.items()
    }
    return Settings(**values)
