#!/usr/bin/python
"""Ansible module: a PostgreSQL cluster runs with the configuration that is on disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_in_force
short_description: A PostgreSQL cluster runs with the configuration that is on disk
description:
  - Starts a stopped cluster, reloads one whose files changed after it last read them, and restarts one that has
    settings pending a restart (C(pg_settings.pending_restart)), behind PAUSE on every pooler given.
  - Every check comes before the reload, so that a wrong pg_hba.conf or setting is never taken in.
  - Each pooler resumes by itself after I(resume_after), also when this run is killed while it is paused.
options:
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
  cluster:
    description: Name of Debian's cluster.
    type: str
    default: main
  port:
    description: Port of the cluster; names its socket.
    type: int
    default: 5432
  socket_directory:
    description: Directory of the unix socket.
    type: path
    default: /var/run/postgresql
  files:
    description: Configuration files that a reload takes in.
    type: list
    elements: path
    default: []
  restart:
    description: Whether a restart may be made. When false, what waits for one is named in a warning.
    type: bool
    default: true
  force:
    description: Whether to restart a running cluster although nothing waits for it.
    type: bool
    default: false
  poolers:
    description: The pgBouncers of this host to pause around a restart, each with host, port, user, password and unit.
    type: list
    elements: dict
    default: []
  pause_timeout:
    description: Seconds that PAUSE may wait for transactions that are open. After that nothing is restarted.
    type: int
    default: 3
  resume_after:
    description: Seconds after which a paused pooler resumes by itself.
    type: int
    default: 120
author: The bundle's maintainers
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  type: list
  elements: str
  returned: always
pending_restart:
  description: Settings that waited for a restart, or still do.
  type: list
  elements: str
  returned: always
"""

import contextlib
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.pgbouncer import ARGUMENT_SPEC, Console, ConsoleError, paused
from ansible.module_utils.quiet_module import QuietModule

CHECKS = """
SELECT format('%s line %s: %s', 'pg_hba.conf', line_number, error) FROM pg_hba_file_rules WHERE error IS NOT NULL
UNION ALL
SELECT format('%s line %s: %s: %s', f.sourcefile, f.sourceline, f.name, f.error)
FROM pg_file_settings f LEFT JOIN pg_settings s USING (name)
-- A setting that only a restart takes in is reported here as an error, too; it is pending, not wrong. One that was
-- taken out of the files is reported without a name and a file.
WHERE f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster' AND coalesce(f.name, f.sourcefile) IS NOT NULL
"""
OPEN_TRANSACTIONS = """
SELECT format('pid %s, %s, in a transaction for %s s: %s', pid, usename,
              extract(epoch FROM now() - xact_start)::int, left(query, 80))
FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 5
"""


class Cluster:
    """One of Debian's clusters, asked as the operating system's root through its socket."""

    def __init__(self, *, version: str, cluster: str, port: int, socket_directory: str) -> None:
        self.unit = f"postgresql@{version}-{cluster}.service"
        self.log = Path(f"/var/log/postgresql/postgresql-{version}-{cluster}.log")
        self._socket: dict[str, Any] = {
            "host": socket_directory,
            "port": port,
            "user": "postgres",
            "dbname": "postgres",
        }

    def exists(self) -> bool:
        """Return whether Debian knows the cluster."""
        version, name = self.unit.removeprefix("postgresql@").removesuffix(".service").split("-", 1)
        return Path("/etc/postgresql", version, name, "postgresql.conf").exists()

    def is_running(self) -> bool:
        """Return whether the unit is active."""
        return subprocess.run(["systemctl", "is-active", "--quiet", self.unit], check=False).returncode == 0

    def systemctl(self, verb: str) -> None:
        """Start or restart the cluster and raise RuntimeError, with the end of its log, when it does not answer.

        Debian's unit reports success whatever happened, since recovery may take long: so the server is asked.
        """
        subprocess.run(["systemctl", verb, self.unit], check=False, capture_output=True)
        try:
            self.rows("SELECT 1", wait=60)
        except Exception as error:
            tail = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
            raise RuntimeError(
                f"PostgreSQL does not answer after systemctl {verb} {self.unit}: {error}\n"
                f"The end of {self.log}:\n" + "\n".join(tail)
            ) from error

    def rows(self, statement: str, *, wait: float = 0) -> list[tuple[Any, ...]]:
        """Return the rows of a statement on a new session, trying to connect for `wait` seconds; then RuntimeError."""
        import psycopg2

        deadline = time.monotonic() + wait
        while True:
            try:
                connection = psycopg2.connect(**self._socket, connect_timeout=5)
                break
            except psycopg2.OperationalError as error:
                if time.monotonic() >= deadline:
                    raise RuntimeError(f"No session with {self.unit} as postgres: {error}") from error
                time.sleep(0.2)
        with contextlib.closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                # CHECKPOINT, for one, has no rows, not even none.
                return list(cursor.fetchall()) if cursor.description else []

    def loaded_at(self) -> float:
        """Return when the configuration was last read, in seconds since the epoch."""
        loaded: datetime = self.rows("SELECT pg_conf_load_time()")[0][0]
        return loaded.astimezone(UTC).timestamp()

    def reload(self) -> None:
        """Read the configuration again and wait until that has happened; the signal alone returns before."""
        before = self.loaded_at()
        self.rows("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while self.loaded_at() <= before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.unit} did not read its configuration within 10 s of a reload")
            time.sleep(0.05)

    def pending_restart(self) -> list[str]:
        """Return the names of the settings that wait for a restart."""
        return [
            row[0] for row in self.rows("SELECT name FROM pg_settings WHERE pending_restart ORDER BY name")
        ]


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "port": {"type": "int", "default": 5432},
            "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
            "files": {"type": "list", "elements": "path", "default": []},
            "restart": {"type": "bool", "default": True},
            "force": {"type": "bool", "default": False},
            "poolers": {"type": "list", "elements": "dict", "default": [], "options": ARGUMENT_SPEC},
            "pause_timeout": {"type": "int", "default": 3},
            "resume_after": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    cluster = Cluster(**{key: wanted[key] for key in ("version", "cluster", "port", "socket_directory")})
    if not cluster.exists() and module.check_mode:
        module.exit_json(
            changed=True,
            pending_restart=[],
            actions=[f"{cluster.unit} is not on this host yet; it would be created and started"],
        )
    actions: list[str] = []
    pending: list[str] = []
    try:
        if not cluster.is_running():
            actions.append("start")
            if not module.check_mode:
                cluster.systemctl("start")
            module.exit_json(changed=True, actions=actions, pending_restart=[])
        # In check mode a file may not be there yet.
        there = [Path(name) for name in wanted["files"] if Path(name).exists()]
        changed_at = max((path.stat().st_ctime for path in there), default=0.0)
        wrong = [row[0] for row in cluster.rows(CHECKS)]
        if wrong:
            module.fail_json(
                msg="The configuration on disk is not valid; PostgreSQL still runs with the one before, but would not "
                "survive a restart. Correct the inventory and run again:\n" + "\n".join(wrong)
            )
        if changed_at > cluster.loaded_at():
            actions.append("reload")
            if not module.check_mode:
                cluster.reload()
        pending = cluster.pending_restart()
        if pending and not wanted["restart"]:
            module.warn(
                f"PostgreSQL needs a restart for {', '.join(pending)}, and restarts are not allowed here."
            )
        elif pending or wanted["force"]:
            actions.append("restart")
            reason = ", ".join(pending) or "whoever asked for it"
            module.warn(f"PostgreSQL restarts for {reason}, with the poolers' clients held by PAUSE.")
            if not module.check_mode:
                poolers = [Console(**pooler) for pooler in wanted["poolers"]]
                pause = {"pause_timeout": wanted["pause_timeout"], "resume_after": wanted["resume_after"]}
                # What a shutdown has to write, written before anybody waits for it.
                cluster.rows("CHECKPOINT")
                with paused(poolers, **pause):
                    cluster.systemctl("restart")
    except ConsoleError as refused:
        open_transactions = (
            "\n".join(row[0] for row in cluster.rows(OPEN_TRANSACTIONS)) or "none is open any more"
        )
        module.fail_json(
            msg=f"PostgreSQL was not restarted: {refused}. Every pooler was resumed and "
            f"{', '.join(pending) or 'the restart'} still waits. End what keeps a transaction open, then run again:\n"
            f"{open_transactions}"
        )
    except RuntimeError as error:
        module.fail_json(msg=str(error), actions=actions)
    module.exit_json(changed=bool(actions), actions=actions, pending_restart=pending)


if __name__ == "__main__":
    main()
