"""What is wrong with the options when they are held against what the server has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import psycopg2
from ansible.module_utils.postgresql_catalog import Cluster, Row
from ansible.module_utils.postgresql_functions import Signatures
from ansible.module_utils.postgresql_roles import stored_settings

SETTABLE = {"user", "superuser", "backend", "superuser-backend"}  # contexts that ALTER ROLE … SET takes
DEBIAN_PACKAGES = {  # where the package is not postgresql-VERSION-NAME
    "vector": "postgresql-{version}-pgvector",
    "pg_cron": "postgresql-{version}-cron",
    "pg_repack": "postgresql-{version}-repack",
    "pg_partman": "postgresql-{version}-partman",
    "pglogical": "postgresql-{version}-pglogical",
    "postgis": "postgresql-{version}-postgis-3",
    "postgis_topology": "postgresql-{version}-postgis-3",
    "postgis_raster": "postgresql-{version}-postgis-3",
    "plperl": "postgresql-plperl-{version}",
    "plpython3u": "postgresql-plpython3-{version}",
    "pltcl": "postgresql-pltcl-{version}",
}


def debian_package(extension: str, version: int) -> str:
    """Return the Debian package that likely has the extension; `version` is server_version_num."""
    pattern = DEBIAN_PACKAGES.get(extension, "postgresql-{version}-" + extension.replace("_", "-"))
    return pattern.format(version=version // 10000)


def problems(params: dict[str, Any], cluster: Cluster, cursor: Any, extension_schemas: Row) -> list[str]:
    """Return what the server's state does not allow, all of it. `cursor` is one inside a transaction."""
    return [
        *_roles(params, cluster),
        *_settings(params, cluster, cursor),
        *_databases(params, cluster, extension_schemas),
        *_functions(params, cursor),
    ]


def _roles(params: dict[str, Any], cluster: Cluster) -> Iterator[str]:
    known = set(cluster.roles) | {role["name"] for role in params["roles"]}
    uses: list[tuple[str, str]] = []
    for role in params["roles"]:
        uses += [(f"roles: {role['name']}: member_of", name) for name in role["member_of"] or []]
        becomes = (role["settings"] or {}).get("role")
        uses += [(f"roles: {role['name']}: settings.role", becomes)] if becomes not in (None, "none") else []
    for database in params["databases"]:
        where = f"databases: {database['name']}"
        uses += [(f"{where}: owner", database["owner"])]
        uses += [(f"{where}: schema_public_owner", database["schema_public_owner"])]
        uses += [(f"{where}: connect", name) for name in database["connect"] or []]
        uses += [(f"{where}: privileges", each["role"]) for each in database["privileges"]]
        for function in database["functions"]:
            named = [*function["execute"], *filter(None, [function["owner"]])]
            uses += [(f"{where}: function {function['name']}", name) for name in named]
    for where, name in dict.fromkeys(uses):
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), 1)
            hint = f"did you mean {near[0]!r}? Else add" if near else "add"
            yield f"{where} names {name!r}, which is neither in roles nor on the server; {hint} it to roles"


def _settings(params: dict[str, Any], cluster: Cluster, cursor: Any) -> Iterator[str]:
    for role in params["roles"]:
        held = stored_settings((cluster.roles.get(role["name"]) or {"settings": None})["settings"])
        for name, value in (role["settings"] or {}).items():
            where = f"roles: {role['name']}: setting {name}"
            # pg_settings leaves `role` out; whether that role exists is another check's question.
            context = "backend" if name == "role" else cluster.parameters.get(name)
            if context is None and "." not in name:
                near = difflib.get_close_matches(name, cluster.parameters, 1)
                yield f"{where} is not one of PostgreSQL's" + (
                    f"; did you mean {near[0]}?" if near else "; see pg_settings"
                )
            elif context is not None and context not in SETTABLE:
                yield f"{where} is the whole server's ({context}), not a role's; set it in postgresql.conf"
            elif context in {"user", "superuser"} and held.get(name) != value:
                yield from _refused_value(where, name, value, cursor)


def _refused_value(where: str, name: str, value: str | list[str], cursor: Any) -> Iterator[str]:
    """Let the server judge a value, in a transaction that is not kept."""
    cursor.execute("SAVEPOINT setting")
    try:
        text = ", ".join(f'"{each}"' for each in value) if isinstance(value, list) else value
        cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, text])
    except psycopg2.Error as error:
        yield f"{where}: {'. '.join(filter(None, [error.diag.message_primary, error.diag.message_hint]))}"
    finally:
        cursor.execute("ROLLBACK TO SAVEPOINT setting")


def _databases(params: dict[str, Any], cluster: Cluster, extension_schemas: Row) -> Iterator[str]:
    for database in params["databases"]:
        name, wanted = database["name"], database["owner"]
        where = f"databases: {name}"
        held = cluster.databases.get(name)
        if held and held["owner"] != wanted:
            yield (
                f"{where} belongs to {held['owner']!r}, not to {wanted!r}, and its tables may, too. Write "
                f"owner: {held['owner']}, or hand it over yourself: ALTER DATABASE {name} OWNER TO {wanted}, "
                f"and within it REASSIGN OWNED BY {held['owner']} TO {wanted}"
            )
        if held and not held["connectable"]:
            yield f"{where} takes no connections (a DROP DATABASE cut short?); drop it, or allow them"
        for extension in database["extensions"]:
            if extension["name"] not in extension_schemas:
                package = debian_package(extension["name"], cluster.version)
                yield (
                    f"{where}: extension {extension['name']!r} is not installed on this host; install its "
                    f"package, by Debian's naming {package} "
                    f"(PostgreSQL's own are in postgresql-{cluster.version // 10000})"
                )
            fixed = extension_schemas.get(extension["name"])
            if fixed and extension["schema"] not in (None, fixed):
                yield f"{where}: extension {extension['name']!r} is for schema {fixed!r}; leave schema out"


def _functions(params: dict[str, Any], cursor: Any) -> Iterator[str]:
    signatures = Signatures(cursor)
    for database in params["databases"]:
        for function in database["functions"]:
            cursor.execute("SAVEPOINT signature")
            try:
                signatures.parameters(function["arguments"])
                signatures.result(function["returns"])
            except (ValueError, psycopg2.Error) as error:
                said = error.diag.message_primary if isinstance(error, psycopg2.Error) else error
                signature = f"{function['name']}({function['arguments']}) RETURNS {function['returns']}"
                yield f"databases: {database['name']}: function {signature}: {said}"
            finally:
                cursor.execute("ROLLBACK TO SAVEPOINT signature")
