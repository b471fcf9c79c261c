#!/usr/bin/python
"""Ansible module: a pooler's open sessions have the settings that their users have."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pooled_settings_in_force
short_description: A pooler's open sessions have the settings that their users have
description:
  - PostgreSQL gives a session the settings of its user and its database (ALTER ROLE … SET, ALTER DATABASE … SET) when
    it begins, and a pooler keeps sessions for up to an hour. RECONNECT lets it begin new ones, and breaks nobody's
    connection.
  - A file says with which settings the pooler's sessions have begun, each with the transaction that wrote it, so that
    one that was changed and changed back is not taken for one that stayed. It is compared with the catalog, and
    written after the pooler reconnected. A run that was killed anywhere between is finished by the next.
options:
  users:
    description: Users whose sessions are pooled.
    type: list
    elements: str
    required: true
  databases:
    description: Databases that are pooled.
    type: list
    elements: str
    required: true
  pooler:
    description: The pooler's console, with host, port, user, password and unit.
    type: dict
    required: true
  record:
    description: The file that says with which settings the open sessions have begun.
    type: path
    required: true
  socket:
    description: Directory of the server's socket.
    type: path
    default: /var/run/postgresql
  port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: Role to log in as.
    type: str
    default: postgres
  login_host:
    description: Host to log in to; the socket when absent.
    type: str
  login_password:
    description: Password of O(login_user), where the socket does not know it.
    type: str
  login_database:
    description: Database to log in to.
    type: str
    default: postgres
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: service | Let pooled sessions take in their users' settings
  pooled_settings_in_force:
    users: [shop_app]
    databases: [shop]
    pooler: {host: 127.0.0.1, port: 6432, user: pgbouncer_admin, password: "{{ vault_pgbouncer_admin_password }}"}
    record: /var/lib/pgbouncer/settings.json
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.pgbouncer import ARGUMENT_SPEC, Console, ConsoleError
from ansible.module_utils.postgresql_wanted import ARGUMENT_SPEC as ACCESS
from ansible.module_utils.quiet_module import QuietModule

try:
    import psycopg2

    HAS_PSYCOPG2 = True
except ImportError:
    HAS_PSYCOPG2 = False
else:
    from ansible.module_utils.postgresql_session import RefusedError, Server, UnreachableError

LOGIN = ("socket", "port", "login_user", "login_host", "login_password", "login_database")
SETTINGS = """
SELECT coalesce(role.rolname, 'every user') || ' in ' || coalesce(database.datname, 'every database'),
       setting.xmin::text, setting.setconfig
FROM pg_db_role_setting setting
LEFT JOIN pg_roles role ON role.oid = setting.setrole
LEFT JOIN pg_database database ON database.oid = setting.setdatabase
WHERE (setting.setrole = 0 OR role.rolname = ANY (%s)) AND (setting.setdatabase = 0 OR database.datname = ANY (%s))
"""


def configured(session: Any, users: list[str], databases: list[str]) -> str:
    """Return what the next session of each user in each database begins with, and who wrote it, as JSON."""
    with session.cursor() as cursor:
        cursor.execute(SETTINGS, [users, databases])
        found = {
            whose: {"settings": sorted(settings), "transaction": transaction}
            for whose, transaction, settings in cursor.fetchall()
        }
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def write(record: Path, content: str) -> None:
    """Write the record beside its place, then rename it there: half of it is never read."""
    record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = record.with_name(f".{record.name}.new")
    with new.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(record)


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            **{name: ACCESS[name] for name in LOGIN},
            "users": {"type": "list", "elements": "str", "required": True},
            "databases": {"type": "list", "elements": "str", "required": True},
            "pooler": {"type": "dict", "required": True, "options": ARGUMENT_SPEC},
            "record": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params: dict[str, Any] = module.params
    if not HAS_PSYCOPG2:
        message = "python3-psycopg2 is not installed on this host"
        if module.check_mode:
            module.exit_json(changed=True, msg=f"{message} yet")
        module.fail_json(msg=f"{message}; run: apt-get install python3-psycopg2")
    record = Path(params["record"])
    before = record.read_text() if record.exists() else ""
    server = Server(params)
    try:
        now = configured(server.session(params["login_database"]), params["users"], params["databases"])
        if now != before and not module.check_mode:
            Console(**params["pooler"]).run("RECONNECT")
            write(record, now)
    except UnreachableError as error:
        if module.check_mode:
            module.exit_json(
                changed=True, msg=f"The settings cannot be known before the server runs: {error}"
            )
        module.fail_json(msg=f"{error}. Is the cluster running? See: pg_lsclusters")
    except (RefusedError, ConsoleError) as error:
        module.fail_json(msg=f"Pooled sessions may still have settings of before: {error}")
    except psycopg2.Error as error:
        module.fail_json(
            msg=f"PostgreSQL refused to say which settings users have: {' '.join(str(error).split())}"
        )
    finally:
        server.close()
    header = f"settings of pooled sessions ({record})"
    diff = {"before_header": header, "after_header": header, "before": before, "after": now}
    module.exit_json(changed=now != before, diff=diff)


if __name__ == "__main__":
    main()
