#!/usr/bin/python
"""Ansible module: what a release's migrations do to a clone of the live data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alembic_rehearsal
short_description: Runs a release's migrations up, down and up again on a clone, and measures them
description:
  - For a clone that is thrown away afterwards; it changes the database of O(database_url).
  - A migration that fails is a result and no failure of the module. Judging is C(rehearsal_report)'s.
options:
  directory:
    description: Folder of the release that holds the Alembic configuration.
    type: path
    required: true
  python:
    description: Interpreter of the release's virtual environment.
    type: path
    required: true
  config:
    description: The Alembic configuration, relative to O(directory); an ini file or a pyproject.toml.
    type: str
    default: alembic.ini
  database_url:
    description: SQLAlchemy URL as the role that migrates, of the clone, or of the live database with O(clone_host).
    type: str
    required: true
  clone_host:
    description: Address of the clone, in place of that in O(database_url).
    type: str
  clone_port:
    description: Port of the clone, with O(clone_host).
    type: int
  url_variable:
    description: Environment variable in which the project expects O(database_url).
    type: str
    default: DATABASE_URL
  environment:
    description: More environment variables that the project needs.
    type: dict
    default: {}
  revision:
    description: The revision to reach.
    type: str
    default: head
  expected_revision:
    description: Where the live database stands, which the clone has to be at, too.
    type: str
    required: true
  user:
    description: Unix user that the project's code runs as. Without it, the user that Ansible is.
    type: str
  lock_timeout:
    description: How long a statement may wait for a lock, in seconds.
    type: int
    default: 5
  concurrently_lock_timeout:
    description: The same for statements with CONCURRENTLY, in seconds.
    type: int
    default: 600
  retries:
    description: How often a revision that met a lock is tried again.
    type: int
    default: 5
  version_table:
    description: Alembic's version table, with its schema if the search path does not find it.
    type: str
    default: alembic_version
  pg_dump:
    description: The program that writes the schema down.
    type: str
    default: pg_dump
requirements: [python3-psycopg2, postgresql-client-15]
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: rehearse | Run the migrations up, down and up again
  alembic_rehearsal:
    directory: /srv/intowork/releases/3f9c/source
    python: /srv/intowork/releases/3f9c/venv/bin/python
    database_url: "{{ clone_url }}"
    expected_revision: "{{ migration_status.before }}"
    user: intowork
"""

RETURN = r"""
before:
  description: Revision of the clone when the rehearsal began.
  type: str
  returned: always
after:
  description: Revision that was reached.
  type: str
  returned: always
ended:
  description: C(done), or the direction in which a migration failed, C(up) or C(again).
  type: str
  returned: always
revisions:
  description: Of each migration what was measured in each direction, its SQL, and what its way back leaves of it.
  type: list
  elements: dict
  returned: always
rows:
  description: How many rows were compared, and the tables in which they are not as before up and down.
  type: dict
  returned: always
resolution_seconds:
  description: How often locks of statements were sampled that commit by themselves.
  type: float
  returned: always
"""

import pwd
import socket
from typing import Any

from ansible.module_utils.alembic_database import JOIN_MIGRATION, Database
from ansible.module_utils.alembic_process import AlembicProcess, ProcessError
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import DatabaseUrlError, elsewhere, parse, scrub, secrets_in
from ansible.module_utils.lock_witness import LockWitness, WatchedProcess
from ansible.module_utils.rehearsal import Rehearsal
from ansible.module_utils.revision_files import load
from ansible.module_utils.revisions import RevisionError, shown
from ansible.module_utils.schema_state import SchemaError

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

_HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class CloneError(RuntimeError):
    """The clone is not what a rehearsal needs; the message says what to do."""


def rehearse(params: dict[str, Any], secrets: list[str]) -> dict[str, Any]:
    """The module's result. Raises what is turned into fail_json."""
    graph = load(params["directory"], params["config"])
    address = params["database_url"]
    if params["clone_host"]:
        address = elsewhere(address, params["clone_host"], params["clone_port"])
    url = parse(address)
    name = f"rehearsal on {socket.gethostname()}"
    try:
        database, watching = (Database(psycopg2.connect, url.libpq(), name) for _ in range(2))
    except psycopg2.OperationalError as error:
        raise CloneError(
            f"the clone {url.shown()} cannot be reached: {scrub(' '.join(str(error).split()), secrets)}"
        ) from None
    current = database.revisions(params["version_table"])
    if shown(current) != params["expected_revision"]:
        raise CloneError(
            f"the clone stands at {shown(current)}, and the live database at {params['expected_revision']}: the "
            "archived WAL does not reach to now. bundle-archive-status on the database host says why."
        )
    path = graph.upgrade_path(current, graph.resolve(params["revision"]))

    def process(witness: LockWitness | None) -> AlembicProcess:
        environment = {name: str(value) for name, value in params["environment"].items()}
        given = url.placeholder() if witness is None else address
        begin = (f"SET lock_timeout = {params['lock_timeout'] * 1000}", JOIN_MIGRATION)
        limit = f"SET lock_timeout = {params['concurrently_lock_timeout'] * 1000}"
        options: dict[str, Any] = {
            "directory": params["directory"],
            "python": params["python"],
            "config": params["config"],
            "environment": {**environment, params["url_variable"]: given},
            "secrets": secrets,
            "user": params["user"],
            "version_table": params["version_table"].rpartition(".")[2],
            "on_connect": () if witness is None else begin,
            "on_concurrently": "" if witness is None else limit,
        }
        return AlembicProcess(**options) if witness is None else WatchedProcess(witness, **options)

    rehearsal = Rehearsal(
        database=database,
        watching=watching,
        url=url,
        graph=graph,
        process=process,
        version_table=params["version_table"],
        pg_dump=params["pg_dump"],
        retries=params["retries"],
        index_lock_timeout=params["concurrently_lock_timeout"],
    )
    found = rehearsal.run(current, path)
    return {"before": shown(current), "after": shown(database.revisions(params["version_table"])), **found}


def main() -> None:
    """Reads the arguments, rehearses, and answers in JSON."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "config": {"type": "str", "default": "alembic.ini"},
            "database_url": {"type": "str", "required": True, "no_log": True},
            "clone_host": {"type": "str"},
            "clone_port": {"type": "int"},
            "url_variable": {"type": "str", "default": "DATABASE_URL"},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "revision": {"type": "str", "default": "head"},
            "expected_revision": {"type": "str", "required": True},
            "user": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 5},
            "concurrently_lock_timeout": {"type": "int", "default": 600},
            "retries": {"type": "int", "default": 5},
            "version_table": {"type": "str", "default": "alembic_version"},
            "pg_dump": {"type": "str", "default": "pg_dump"},
        },
        required_together=[("clone_host", "clone_port")],
        supports_check_mode=False,
    )
    params = module.params
    secrets = secrets_in(
        params["database_url"], {name: str(value) for name, value in params["environment"].items()}
    )
    module.no_log_values = set(secrets)
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing here: install the Debian package python3-psycopg2.")
    if params["user"]:
        try:
            pwd.getpwnam(params["user"])
        except KeyError:
            module.fail_json(
                msg=f'the unix user "{params["user"]}" does not exist: deploy to this host first.'
            )
    try:
        result = rehearse(params, secrets)
    except (CloneError, RevisionError, DatabaseUrlError, ProcessError, SchemaError, psycopg2.Error) as error:
        module.fail_json(msg=f"The rehearsal could not be made: {scrub(str(error), secrets).strip()}")
    hidden = {**params, "database_url": _HIDDEN, "environment": _HIDDEN}
    # The clone is thrown away: nothing that lasts was changed.
    module.exit_json(changed=False, **result, invocation={"module_args": hidden})


if __name__ == "__main__":
    main()
