"""The options of postgresql_access, and what is wrong with them before any server is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.scram import password_problem

ATTRIBUTES = {  # keyword: column of pg_authid
    "SUPERUSER": "rolsuper",
    "CREATEDB": "rolcreatedb",
    "CREATEROLE": "rolcreaterole",
    "REPLICATION": "rolreplication",
    "BYPASSRLS": "rolbypassrls",
}
TABLE_PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
SEQUENCE_PRIVILEGES = ["USAGE", "SELECT", "UPDATE"]

# Settings whose value is a list of identifiers: the server would quote one string of them as a single name
# (GUC_LIST_QUOTE in src/backend/utils/misc/guc.c).
LIST_SETTINGS = {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1; PostgreSQL cuts longer ones silently

STRINGS: dict[str, Any] = {"type": "list", "elements": "str"}


def _list_of(options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


ROLE_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "login": {"type": "bool"},
    "attributes": {**STRINGS, "choices": list(ATTRIBUTES), "default": []},
    "member_of": STRINGS,
    "connection_limit": {"type": "int"},
    "settings": {"type": "dict"},
}
PRIVILEGE_OPTIONS: dict[str, Any] = {
    "role": {"type": "str", "required": True},
    "tables": {**STRINGS, "choices": TABLE_PRIVILEGES, "default": []},
    "sequences": {**STRINGS, "choices": SEQUENCE_PRIVILEGES, "default": []},
    "functions": {**STRINGS, "choices": ["EXECUTE"], "default": []},
}
FUNCTION_OPTIONS: dict[str, Any] = {
    "schema": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "arguments": {"type": "str", "default": ""},
    "returns": {"type": "str", "required": True},
    "language": {"type": "str", "choices": ["sql", "plpgsql"], "default": "sql"},
    "security_definer": {"type": "bool", "default": False},
    "search_path": {"type": "str"},
    "body": {"type": "str", "required": True},
    "owner": {"type": "str"},
    "execute": {**STRINGS, "default": []},
}
DATABASE_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "encoding": {"type": "str", "default": "UTF8"},
    "locale": {"type": "str", "default": "C.UTF-8"},
    "connect": STRINGS,
    "extensions": {"type": "list", "elements": "raw", "default": []},
    "schema_public_owner": {"type": "str"},
    "privileges": _list_of(PRIVILEGE_OPTIONS),
    "protected_tables": {**STRINGS, "default": []},
    "functions": _list_of(FUNCTION_OPTIONS),
}
ARGUMENT_SPEC: dict[str, Any] = {
    "socket": {"type": "path", "default": "/var/run/postgresql"},
    "port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_host": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_database": {"type": "str", "default": "postgres"},
    "roles": _list_of(ROLE_OPTIONS),
    "databases": _list_of(DATABASE_OPTIONS),
}


def normalize(params: dict[str, Any]) -> None:
    """Bring the options that may be written in two ways into one, in place.

    Extensions become dicts of name and schema. Settings become strings as PostgreSQL spells them (YAML's `on`
    arrives as True), and those of LIST_SETTINGS lists.
    """
    for role in params["roles"]:
        if role["settings"] is not None:
            role["settings"] = {
                name.lower(): _setting(name, value) for name, value in role["settings"].items()
            }
    for database in params["databases"]:
        database["extensions"] = [
            {"schema": None, **(each if isinstance(each, dict) else {"name": each})}
            for each in database["extensions"]
        ]
        database["schema_public_owner"] = database["schema_public_owner"] or database["owner"]


def _setting(name: str, value: Any) -> str | list[str] | None:
    if isinstance(value, bool):
        return "on" if value else "off"
    if name.lower() in LIST_SETTINGS:
        return split_identifiers(value if isinstance(value, str) else ", ".join(map(str, value or []))) or [
            ""
        ]
    return None if value is None else str(value)


def split_identifiers(text: str) -> list[str]:
    """Return the names in a list as PostgreSQL reads it: quoted ones as they are, others in lower case."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', text)
    return [quoted.replace('""', '"') if quoted else plain.lower() for quoted, plain in found]


def problems(params: dict[str, Any]) -> list[str]:
    """Return what is wrong with normalized options, all of it, as sentences that say what to do."""
    return [*_names(params), *_roles(params), *_databases(params)]


def _names(params: dict[str, Any]) -> Iterator[str]:
    for key in ("roles", "databases"):
        for name, times in Counter(each["name"] for each in params[key]).items():
            if times > 1:
                yield f"{key}: {name!r} is listed {times} times; merge the entries into one"
            if not name or len(name.encode()) > MAX_NAME_BYTES or "\0" in name:
                yield f"{key}: the name {name!r} must have 1 to {MAX_NAME_BYTES} bytes"
    for role in params["roles"]:
        if role["name"] in {"public", "none"} or role["name"].startswith("pg_"):
            yield f"roles: {role['name']!r} is reserved by PostgreSQL, as are public, none and pg_…"


def _roles(params: dict[str, Any]) -> Iterator[str]:
    memberships = {role["name"]: role["member_of"] for role in params["roles"]}
    for role in params["roles"]:
        where = f"roles: {role['name']}"
        problem = None if role["password"] is None else password_problem(role["password"])
        if problem:
            yield f"{where}: {problem}"
        if role["name"] == params["login_user"] and "SUPERUSER" not in role["attributes"]:
            yield f"{where} is the login_user, and would lose SUPERUSER; leave it out of roles"
        settings = role["settings"] or {}
        for name, value in settings.items():
            if value is None:
                yield f"{where}: the setting {name} has no value; give one, or leave it out to reset it"
        becomes = settings.get("role")
        if becomes and becomes != "none" and role["member_of"] is not None:
            reached, queue = set(), [role["name"]]
            while queue:
                reached.add(each := queue.pop())
                queue += [name for name in memberships.get(each) or [] if name not in reached]
            if becomes not in reached:
                yield (
                    f"{where}: settings.role is {becomes!r}, but member_of {role['member_of']} does not lead "
                    f"to it, and a login would stay {role['name']}; add {becomes} to member_of"
                )


def _databases(params: dict[str, Any]) -> Iterator[str]:
    for database in params["databases"]:
        where = f"databases: {database['name']}"
        for each in database["extensions"]:
            if not isinstance(each.get("name"), str) or set(each) != {"name", "schema"}:
                yield f"{where}: extension {each!r} must be a name, or a dict of name and schema"
        for name, times in Counter(each["role"] for each in database["privileges"]).items():
            if times > 1:
                yield f"{where}: privileges lists {name!r} {times} times; merge the entries into one"
            if name == database["owner"]:
                yield f"{where}: privileges lists the owner {name!r}, who has them all; leave that entry out"
        for function in database["functions"]:
            if function["security_definer"] and not function["search_path"]:
                yield (
                    f"{where}: function {function['schema']}.{function['name']} is SECURITY DEFINER without "
                    "search_path, and a caller's own objects could run with its owner's rights; give "
                    "search_path: pg_catalog"
                )
