#!/usr/bin/python
"""Ansible module: an empty database gets its first rows by the product's own command, once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: api_bootstrap
short_description: Remember that a database was empty, and let the product make its first rows in it
description:
  - Whether a database was empty is known before its first migration only; the rows can be made after the last. In
    between a run may be killed, so it is written down on the host, and stays so until the command has ended with 0.
  - What is written down is the file C(first-rows-due) in I(root). From when the command begins it has the rows of
    every table by number and checksum. The unit itself removes it when the command has ended with 0, whether this
    module is still there or not.
  - A command that was begun and did not end so is run again only where every table is as it was before. Where one is
    not, only the product can tell whether that is all, and the module fails with what to do.
options:
  name:
    description: Name of the product; its unit is NAME-bootstrap@RELEASE.service.
    type: str
    required: true
  root:
    description: Directory of the product.
    type: path
    required: true
  state:
    description: C(due) writes down that the database is empty; C(done) runs the unit if that is written down.
    type: str
    choices: [due, done]
    required: true
  release:
    description: Name of the staged release whose command it is.
    type: str
    required: true
  environment:
    description: Content of the environment file that the command runs with.
    type: str
    default: ""
  database_url:
    description: URL of the database, as the product has it; for C(done).
    type: str
  version_table:
    description: Alembic's table, which is not the command's.
    type: str
    default: alembic_version
requirements: [python3-psycopg2]
author: The bundle's maintainers
"""

import fcntl
import os
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from ansible.module_utils import first_rows
from ansible.module_utils.alembic_database import Database
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import DatabaseUrlError, parse, scrub, secrets_in

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

DUE = "first-rows-due"
LINES = "30"


class FirstRowsError(RuntimeError):
    """The rows were not made; the message says why and what to do."""


class FirstRows:
    """The first rows of a product's database, on the host that makes them."""

    def __init__(self, name: str, root: str, database: Database, version_table: str) -> None:
        self.name = name
        self.due = Path(root, DUE)
        self.settings = Path("/etc", name, "bootstrap.env")
        self.database = database
        self.version_table = version_table

    def make(self, release: str, environment: str) -> None:
        """Make them, unless an earlier run's command, which may be at work still, makes them first.

        Raises:
            FirstRowsError: the command failed, or an earlier one left something.
        """
        # The module of a run whose controller was killed may be here still. The kernel gives it back when this ends.
        with self.due.with_name(f".{DUE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.due.exists():
                self.make_alone(release, environment)

    def make_alone(self, release: str, environment: str) -> None:
        """As `make`, where no other module is at it."""
        begun = first_rows.read(self.due)
        if begun:
            wait_for_end(self.unit(begun.release))
            if not self.due.exists():
                return
            if left := first_rows.left_by(self.database.rows, begun):
                raise FirstRowsError(
                    "The command that makes the first rows (bundle_bootstrap_command) was begun at "
                    f"{begun.at}, and did not end well. {self.what_to_do(begun, left)}"
                )
        now = first_rows.rows_now(self.database.rows, self.version_table)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        begun = first_rows.Begun(release, began, now)
        first_rows.write(self.due, begun)
        write_secret(self.settings, environment)
        try:
            said = run_unit(self.unit(release))
        finally:
            self.settings.unlink(missing_ok=True)
        if said is not None:
            left = first_rows.left_by(self.database.rows, begun)
            then = (
                self.what_to_do(begun, left)
                if left
                else "It left every table as it was, so the next deploy runs it again."
            )
            raise FirstRowsError(
                "The database was empty, and the command that makes its first rows failed (bundle_bootstrap_command). "
                f"{then}\nThe end of the journal of {self.unit(release)}:\n{said}"
            )
        self.due.unlink(missing_ok=True)

    def unit(self, release: str) -> str:
        """The unit that runs the command of a release."""
        return f"{self.name}-bootstrap@{release}.service"

    def what_to_do(self, begun: first_rows.Begun, left: dict[str, str]) -> str:
        """What there is, and what a person does about it."""
        host = socket.gethostname()
        there = "; ".join(f"{table} {change}" for table, change in left.items())
        return (
            f"Since then {there}. Whether that is all of it only the product can tell, so the command is not run a "
            "second time, and nothing serves.\n"
            f"1. Look at these tables, and at `journalctl --unit {self.unit(begun.release)}` on {host}.\n"
            f"2. If all rows are there: `rm {self.due}` on {host}. If not: take out what it wrote (TRUNCATE … RESTART "
            "IDENTITY, on the database host), until these tables are as they were.\n"
            "3. Run site.yml again. It goes on, and in the second case runs the command once more."
        )


def write_secret(path: Path, content: str) -> None:
    """Write a file that only root may read; systemd reads it before it gives up its rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


def wait_for_end(unit: str) -> None:
    """Wait for a unit that a killed run left at work. It has a time limit of its own."""
    while True:
        command = ["systemctl", "show", "--property=ActiveState", "--value", unit]
        state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
        if state not in {"activating", "active", "deactivating", "reloading"}:
            return
        time.sleep(0.2)


def run_unit(unit: str) -> str | None:
    """Run a unit to its end; None when that is a good one, or else the end of its journal."""
    subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
    if subprocess.run(["systemctl", "start", unit], check=False, capture_output=True).returncode == 0:
        return None
    journal = ["journalctl", "--unit", unit, "--lines", LINES, "--no-pager", "--output", "cat"]
    said = subprocess.run(journal, check=False, capture_output=True, text=True).stdout
    subprocess.run(["systemctl", "reset-failed", unit], check=False, capture_output=True)
    return said


def connect(url: str) -> Database:
    """A session of the product's own user, through its own endpoint.

    Raises:
        FirstRowsError: there is none.
    """
    if psycopg2 is None:
        raise FirstRowsError("psycopg2 is missing here: install the Debian package python3-psycopg2.")
    try:
        known = parse(url)
        return Database(psycopg2.connect, known.libpq(), f"first rows on {socket.gethostname()}")
    except DatabaseUrlError as error:
        raise FirstRowsError(f"No first rows were made: {error}") from None
    except psycopg2.OperationalError as error:
        said = scrub(" ".join(str(error).split()), secrets_in(url, {}))
        raise FirstRowsError(
            f"No first rows were made: the database {known.shown()} cannot be reached: {said}"
        ) from None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["due", "done"], "required": True},
            "release": {"type": "str", "required": True},
            "environment": {"type": "str", "default": "", "no_log": True},
            "database_url": {"type": "str", "no_log": True},
            "version_table": {"type": "str", "default": "alembic_version"},
        },
        required_if=[("state", "done", ["database_url"])],
        supports_check_mode=True,
    )
    params = module.params
    due = Path(params["root"], DUE)
    there = due.exists()
    if params["state"] == "due":
        if not there and not module.check_mode:
            first_rows.write(due, None)
        module.exit_json(changed=not there)
    if not there or module.check_mode:
        module.exit_json(changed=there)
    errors: tuple[type[Exception], ...] = (FirstRowsError, OSError, ValueError)
    if psycopg2 is not None:
        errors += (psycopg2.Error,)
    try:
        database = connect(params["database_url"])
        rows = FirstRows(params["name"], params["root"], database, params["version_table"])
        rows.make(params["release"], params["environment"])
    except errors as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
