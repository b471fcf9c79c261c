"""What the tests of postgresql_access share: the module as Ansible runs it, sessions, a clean cluster."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
from ansible.module_utils.postgresql_access_plan import make_plan
from ansible.module_utils.postgresql_session import Server
from ansible.module_utils.postgresql_wanted import ARGUMENT_SPEC, DATABASE_OPTIONS, ROLE_OPTIONS, normalize
from postgresql_access import shown

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "plugins/modules/postgresql_access.py"
DATABASE = "intowork"
OWNER, MIGRATOR, APP, READONLY, MONITOR, POOLER, STRANGER = (
    f"intowork_{name}"
    for name in ("owner", "migrator", "app", "readonly", "monitor", "pgbouncer", "stranger")
)
ROLES = (MIGRATOR, APP, READONLY, MONITOR, POOLER, STRANGER, OWNER)
PASSWORD = "correct-horse'battery\\staple"  # with what needs quoting
Row = dict[str, Any]

# The module's file as Ansible runs it, with our module_utils where Ansible puts them. Modules named on the
# command line are missing, as on a host where their package is not installed.
RUNNER = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[3:]))
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
import ansible.module_utils.basic as basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
runpy.run_path(sys.argv[2], run_name="__main__")
"""

WANTED: Row = {
    "login_host": os.environ.get("PGHOST"),
    "port": int(os.environ.get("PGPORT", "5432")),
    "login_user": os.environ.get("PGUSER", "postgres"),
    "login_password": os.environ.get("PGPASSWORD"),
    "roles": [
        {"name": OWNER, "login": False, "member_of": ["pg_monitor"]},
        {
            "name": MIGRATOR,
            "login": True,
            "password": PASSWORD,
            "member_of": [OWNER],
            "settings": {"role": OWNER},
        },
        {
            "name": APP,
            "login": True,
            "password": PASSWORD,
            "member_of": [],
            "settings": {"statement_timeout": "30s", "lock_timeout": "5s", "search_path": '"$user", public'},
        },
        {"name": READONLY, "login": True, "password": PASSWORD},
        {
            "name": MONITOR,
            "login": True,
            "password": PASSWORD,
            "member_of": ["pg_monitor"],
            "connection_limit": 3,
            "settings": {"default_transaction_read_only": True},
        },
        {"name": POOLER, "login": True, "password": PASSWORD},
        {"name": STRANGER, "login": True, "password": PASSWORD},
    ],
    "databases": [
        {
            "name": DATABASE,
            "owner": OWNER,
            "connect": [MIGRATOR, APP, READONLY, MONITOR, POOLER],
            "extensions": ["pg_stat_statements", {"name": "pgcrypto", "schema": "crypto"}],
            "privileges": [
                {
                    "role": APP,
                    "tables": ["SELECT", "INSERT", "UPDATE", "DELETE"],
                    "sequences": ["USAGE", "SELECT", "UPDATE"],
                    "functions": ["EXECUTE"],
                },
                {"role": READONLY, "tables": ["SELECT"], "sequences": ["SELECT"]},
            ],
            "protected_tables": ["alembic_version"],
            "functions": [
                {
                    "schema": "pgbouncer",
                    "name": "get_auth",
                    "arguments": "p_usename varchar",
                    "returns": "TABLE(usename name, passwd text)",
                    "security_definer": True,
                    "search_path": "pg_catalog",
                    "body": "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = p_usename",
                    "execute": [POOLER],
                }
            ],
        }
    ],
}


def wanted() -> Row:
    """Return the options, to be changed at will."""
    return copy.deepcopy(WANTED)


def role(args: Row, name: str) -> Row:
    """Return the entry of a role."""
    found: Row = next(each for each in args["roles"] if each["name"] == name)
    return found


def start(args: Row, *, check: bool = False, without: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the module in a process of its own, its arguments written."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, ROOT / "plugins/module_utils", MODULE, *without],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin
    process.stdin.write(
        json.dumps({"ANSIBLE_MODULE_ARGS": args | {"_ansible_check_mode": check, "_ansible_diff": True}})
    )
    process.stdin.close()
    process.stdin = None
    return process


def output(args: Row, *, check: bool = False, without: tuple[str, ...] = ()) -> str:
    """Return all that the module writes."""
    return start(args, check=check, without=without).communicate(timeout=60)[0]


def run(args: Row | None = None, *, check: bool = False, without: tuple[str, ...] = ()) -> Row:
    """Return the module's result, which must be a success."""
    text = output(wanted() if args is None else args, check=check, without=without)
    assert text.startswith("\n{") or text.startswith("{"), text
    result: Row = json.loads(text)
    assert not result.get("failed"), result["msg"]
    return result


def failure(args: Row, *, check: bool = False, without: tuple[str, ...] = ()) -> str:
    """Return the message of a run that must fail."""
    result: Row = json.loads(output(args, check=check, without=without))
    assert result.get("failed"), result
    return str(result["msg"])


def planned() -> list[str]:
    """Return the statements that a run would issue, asked of the planner without a process of its own."""
    args = {**{key: option.get("default") for key, option in ARGUMENT_SPEC.items()}, **wanted()}
    for key, options in (("roles", ROLE_OPTIONS), ("databases", DATABASE_OPTIONS)):
        args[key] = [_with_defaults(each, options) for each in args[key]]
    normalize(args)
    server = Server(args)
    try:
        return list(shown(make_plan(server, args), server, args["login_database"])["statements"])
    finally:
        server.close()


def _with_defaults(given: Row, options: Row) -> Row:
    """Return an entry with the options that AnsibleModule would fill in."""
    full = {key: given.get(key, option.get("default")) for key, option in options.items()}
    for key, option in options.items():
        if option.get("elements") == "dict":
            full[key] = [_with_defaults(each, option["options"]) for each in full[key]]
    return full


@contextlib.contextmanager
def session(user: str | None = None, database: str = DATABASE, password: str = PASSWORD) -> Iterator[Any]:
    """Give a cursor of a role, by default the superuser's; each statement is a transaction."""
    login = f"dbname={database}" + (f" user={user}" if user else "")
    connection = psycopg2.connect(login, password=password if user else None)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def one(cursor: Any, query: str) -> Any:
    """Return the only column of the only row."""
    cursor.execute(query)
    [[value]] = cursor.fetchall()
    return value


def execute(statement: str, user: str | None = None, database: str = DATABASE) -> None:
    """Run one statement in a session of its own."""
    with session(user, database) as cursor:
        cursor.execute(statement)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; after 30 s it is an error."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.02)


def clean() -> None:
    """Take away what the tests make."""
    assert "PGHOST" in os.environ, (
        "these tests need a throwaway server: pg_virtualenv -v 15 -o fsync=off pytest …"
    )
    with session(database="postgres") as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        for name in ROLES:
            cursor.execute(f"DROP ROLE IF EXISTS {name}")
