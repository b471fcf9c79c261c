#!/usr/bin/python
"""Ansible module: who may do what in a PostgreSQL cluster, made true in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_access
short_description: Roles, databases, extensions and privileges of a PostgreSQL cluster
description:
  - Compares the catalogs with what is wanted and runs only the statements that are needed, in one transaction
    for the roles and one for each database. A second run issues none, and finishes what a killed run left.
  - Roles, databases and objects that are not listed are never touched, and none is ever dropped.
  - Passwords are compared with the stored verifier, and reach the server only as a new SCRAM-SHA-256
    verifier, which is kept out of the server's log and of pg_stat_statements.
  - In check mode nothing runs. A host without psycopg2 or without a running server then reports what is to
    come, by name.
  - Run as root by the local socket, it logs in as the system user of the same name as O(login_user), as peer
    authentication wants.
requirements: [python3-psycopg2, PostgreSQL 15 or later]
options:
  socket:
    description: Directory of the server's unix socket.
    type: path
    default: /var/run/postgresql
  port:
    description: Port of the server, which names its socket too.
    type: int
    default: 5432
  login_user:
    description: Superuser to log in as. Extensions, schemas and functions that are made belong to it.
    type: str
    default: postgres
  login_host:
    description: Host name or address, to log in by TCP instead of the socket.
    type: str
  login_password:
    description: Password of O(login_user), where the server asks for one.
    type: str
  login_database:
    description: Database from which roles and databases are made.
    type: str
    default: postgres
  roles:
    description: Roles that exist, as described.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password:
        description: Plaintext of printable ASCII, stored as SCRAM-SHA-256. Left as it is when absent.
        type: str
      login:
        description: Whether the role may log in. Left as it is when absent; a new role then may not.
        type: bool
      attributes:
        description: Exactly these attributes; all others are taken away.
        type: list
        elements: str
        choices: [SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS]
        default: []
      member_of:
        description: Exactly these memberships, without the right to hand them on. Left alone when absent.
        type: list
        elements: str
      connection_limit:
        description: Connections at the same time; -1 is no limit. Left as it is when absent.
        type: int
      settings:
        description:
          - Exactly these settings for the role in all databases, by ALTER ROLE … SET. Left alone when absent.
        type: dict
  databases:
    description: Databases that exist, as described.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns the database and its objects. A database of another role is an error.
        type: str
        required: true
      encoding:
        description: Encoding, used when the database is made.
        type: str
        default: UTF8
      locale:
        description: Locale, used when the database is made.
        type: str
        default: C.UTF-8
      connect:
        description:
          - Exactly these roles and the owner may connect, and hold no other right on the database. Left alone
            when absent.
        type: list
        elements: str
      extensions:
        description: Extensions that are there, each a name or a dict of C(name) and C(schema).
        type: list
        elements: raw
        default: []
      schema_public_owner:
        description:
          - Role that owns schema public; O(databases[].owner) when absent. PUBLIC may not create in it.
        type: str
      privileges:
        description:
          - Exactly these privileges on the owner's objects in schema public, present ones and, by default
            privileges, later ones. PUBLIC has none; where any entry grants functions, PUBLIC loses EXECUTE on
            the owner's.
        type: list
        elements: dict
        default: []
        suboptions:
          role:
            description: Role that has the privileges, and USAGE on schema public.
            type: str
            required: true
          tables:
            description: Privileges on tables and views.
            type: list
            elements: str
            choices: [SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER]
            default: []
          sequences:
            description: Privileges on sequences.
            type: list
            elements: str
            choices: [USAGE, SELECT, UPDATE]
            default: []
          functions:
            description: Privileges on functions and procedures.
            type: list
            elements: str
            choices: [EXECUTE]
            default: []
      protected_tables:
        description: Tables on which the roles of O(databases[].privileges) have SELECT at most.
        type: list
        elements: str
        default: []
      functions:
        description: Functions that are there, and who may execute them.
        type: list
        elements: dict
        default: []
        suboptions:
          schema:
            description: Schema of the function, made when absent; the executing roles get USAGE on it.
            type: str
            required: true
          name:
            description: Name of the function.
            type: str
            required: true
          arguments:
            description: Names and types, for example C(p_name text, p_limit int).
            type: str
            default: ""
          returns:
            description: What follows RETURNS, for example C(TABLE(name text)).
            type: str
            required: true
          language:
            description: Language of the body.
            type: str
            choices: [sql, plpgsql]
            default: sql
          security_definer:
            description: Whether it runs with its owner's rights, which needs C(search_path) too.
            type: bool
            default: false
          search_path:
            description: Schemas in which its body looks names up.
            type: str
          body:
            description: Body of the function.
            type: str
            required: true
          owner:
            description: Role that owns it; O(login_user) when absent.
            type: str
          execute:
            description: Exactly these roles and the owner may execute it, PUBLIC not.
            type: list
            elements: str
            default: []
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: configure | Let each role do its own work and no more
  postgresql_access:
    roles:
      - {name: shop_owner, login: false}
      - name: shop_app
        login: true
        password: "{{ vault_app_password }}"
        settings: {statement_timeout: 30s}
    databases:
      - name: shop
        owner: shop_owner
        connect: [shop_app]
        privileges:
          - {role: shop_app, tables: [SELECT, INSERT, UPDATE, DELETE], sequences: [USAGE, SELECT]}
        protected_tables: [alembic_version]
"""

RETURN = r"""
statements:
  description: The statements that ran, or would, in order, with secrets as C(***).
  type: list
  elements: str
  returned: when the server could be asked
"""

from typing import Any

from ansible.module_utils.postgresql_wanted import ARGUMENT_SPEC, normalize, problems
from ansible.module_utils.quiet_module import QuietModule

try:
    import psycopg2

    HAS_PSYCOPG2 = True
except ImportError:
    HAS_PSYCOPG2 = False
else:
    from ansible.module_utils.postgresql_access_plan import Plan, make_plan
    from ansible.module_utils.postgresql_session import RefusedError, Server, UnreachableError


def to_come(params: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return the result of check mode on a host whose server cannot be asked."""
    names = {key: ", ".join(each["name"] for each in params[key]) or "none" for key in ("roles", "databases")}
    msg = (
        f"Roles to come: {names['roles']}. Databases to come: {names['databases']}. "
        f"Which statements that takes cannot be known before the server runs: {reason}"
    )
    return {
        "changed": bool(params["roles"] or params["databases"]),
        "msg": msg,
        "statements": [],
        "diff": {"prepared": msg},
    }


def shown(plan: Plan, server: Server, database: str) -> dict[str, Any]:
    """Return the plan as a result; the diff can be pasted into psql, passwords aside."""
    context = server.session(database)
    statements, script = [], []
    for step in plan.steps:
        texts = [each.text(context) for each in step.statements]
        statements += texts
        script += [f'\\connect "{step.database}"', *(f"{text};" for text in texts)]
    return {
        "changed": bool(statements),
        "statements": statements,
        "diff": {"prepared": "\n".join(script)},
    }


def main() -> None:
    """Run the module."""
    module = QuietModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    normalize(params)
    wrong = problems(params)
    if wrong:
        module.fail_json(msg="\n".join(wrong))
    if not HAS_PSYCOPG2:
        if module.check_mode:
            module.exit_json(**to_come(params, "python3-psycopg2 is not installed on this host yet"))
        module.fail_json(
            msg="python3-psycopg2 is not installed on this host; run: apt-get install python3-psycopg2"
        )
    server = Server(params)
    try:
        plan = make_plan(server, params)
        result = shown(plan, server, params["login_database"])
        if not module.check_mode:
            for step in plan.steps:
                server.run(step.database, step.statements, transaction=step.transaction)
    except UnreachableError as error:
        if module.check_mode:
            module.exit_json(**to_come(params, str(error)))
        module.fail_json(msg=f"{error}. Is the cluster running? See: pg_lsclusters")
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except psycopg2.Error as error:  # while reading the catalogs: no statement with a secret is among those
        module.fail_json(
            msg=f"PostgreSQL refused to be read, nothing was changed: {' '.join(str(error).split())}"
        )
    finally:
        server.close()
    for warning in plan.warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
