"""The whole plan, made before anything runs, so that check mode and a real run show the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils import postgresql_known
from ansible.module_utils.postgresql_catalog import Database, read_cluster, read_database
from ansible.module_utils.postgresql_databases import NEW_DATABASE_ACL, create_database, plan_database
from ansible.module_utils.postgresql_functions import Signatures
from ansible.module_utils.postgresql_roles import plan_roles
from ansible.module_utils.postgresql_session import RefusedError, Server
from ansible.module_utils.postgresql_statement import Statement

OLDEST_VERSION = 150000  # before it, everyone could create objects in schema public

AVAILABLE_EXTENSIONS = """
SELECT e.name, v.schema FROM pg_catalog.pg_available_extensions e
LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version"""


@dataclass
class Step:
    """Statements of one database: a transaction, or one statement that cannot be in one."""

    database: str
    statements: list[Statement]
    transaction: bool = True


@dataclass
class Plan:
    """Steps in order; what a person should look at."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, database: str, statements: list[Statement], *, transaction: bool = True) -> None:
        """Add a step, unless it is empty."""
        if statements:
            self.steps.append(Step(database, statements, transaction))


def make_plan(server: Server, params: dict[str, Any]) -> Plan:
    """Return what makes the options true. Raises RefusedError with every problem found."""
    login_user, maintenance = params["login_user"], params["login_database"]
    connection = server.session(maintenance)
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
        if not cursor.fetchone()[0]:
            raise RefusedError(
                f"{login_user!r} is not a superuser; give a login_user that is, on Debian postgres"
            )
        if connection.server_version < OLDEST_VERSION:
            raise RefusedError(
                f"the server is PostgreSQL {connection.server_version // 10000}; this needs 15 or later"
            )
        cluster = read_cluster(cursor)
        extension_schemas: dict[str, str | None] = {}
        if any(database["extensions"] for database in params["databases"]):
            cursor.execute(AVAILABLE_EXTENSIONS)
            extension_schemas = dict(cursor.fetchall())
        problems = postgresql_known.problems(params, cluster, cursor, extension_schemas)
        if problems:
            raise RefusedError("\n".join(problems))
        plan = Plan()
        plan.add(maintenance, plan_roles(params["roles"], cluster))
        signatures = Signatures(cursor)
        for database in params["databases"]:
            name = database["name"]
            there = cluster.databases.get(name)
            held = _held(server, database) if there else Database()
            if not there:
                plan.add(maintenance, [create_database(database)], transaction=False)
            acl = there["acl"] if there else NEW_DATABASE_ACL
            inner = plan_database(database, acl, held, extension_schemas, signatures, login_user)
            plan.add(name, list(inner))
            for extension in database["extensions"]:
                owner = held.extensions.get(extension["name"], {}).get("owner", login_user)
                if owner != login_user:
                    plan.warnings.append(
                        f"{name}: extension {extension['name']} belongs to {owner}, who can drop it, "
                        f"not to {login_user}"
                    )
    connection.rollback()
    if plan.steps and cluster.standby:
        raise RefusedError("this server is a standby, which takes no changes; run this on the primary")
    return plan


def _held(server: Server, database: dict[str, Any]) -> Database:
    connection = server.session(database["name"])
    functions = [(each["schema"], each["name"]) for each in database["functions"]]
    with connection.cursor() as cursor:
        held = read_database(cursor, database["owner"], functions)
    connection.rollback()
    return held
