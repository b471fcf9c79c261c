"""Roles, memberships, settings and passwords: from what the cluster has to what is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.postgresql_catalog import Cluster, Row
from ansible.module_utils.postgresql_statement import Statement, statement
from ansible.module_utils.postgresql_wanted import ATTRIBUTES, LIST_SETTINGS, split_identifiers
from ansible.module_utils.scram import make_verifier, matches
from psycopg2 import sql

NEW_ROLE: Row = {
    **dict.fromkeys(ATTRIBUTES.values(), False),
    "rolcanlogin": False,
    "rolconnlimit": -1,
    "rolpassword": None,
    "member_of": [],
    "settings": None,
}


def plan_roles(wanted: list[Row], cluster: Cluster) -> list[Statement]:
    """Return what makes the roles as wanted. All exist before the first membership or setting names one."""
    held = {role["name"]: cluster.roles.get(role["name"]) for role in wanted}
    statements: list[Statement] = []
    for role in wanted:
        statements += _existence(role, held[role["name"]])
    for part in (_memberships, _settings, _password):
        for role in wanted:
            statements += part(role, held[role["name"]] or NEW_ROLE)
    return statements


def _existence(role: Row, held: Row | None) -> Iterator[Statement]:
    has = held or NEW_ROLE
    options = []
    if role["login"] is not None and role["login"] != has["rolcanlogin"]:
        options.append("LOGIN" if role["login"] else "NOLOGIN")
    for keyword, column in ATTRIBUTES.items():
        if (keyword in role["attributes"]) != has[column]:
            options.append(keyword if keyword in role["attributes"] else f"NO{keyword}")
    limit = role["connection_limit"]
    if limit is not None and limit != has["rolconnlimit"]:
        options.append(f"CONNECTION LIMIT {limit:d}")
    if held is None or options:
        yield statement(
            " ".join([f"{'CREATE' if held is None else 'ALTER'} ROLE {{}}", *options]), role["name"]
        )


def _memberships(role: Row, held: Row) -> Iterator[Statement]:
    if role["member_of"] is None:
        return
    has = {each["role"]: each["admin"] for each in held["member_of"]}
    for name in sorted(set(has) - set(role["member_of"])):
        yield statement("REVOKE {} FROM {} CASCADE", name, role["name"])
    for name in sorted(set(role["member_of"])):
        if has.get(name):
            yield statement("REVOKE ADMIN OPTION FOR {} FROM {} CASCADE", name, role["name"])
        elif name not in has:
            yield statement("GRANT {} TO {}", name, role["name"])


def stored_settings(stored: list[str] | None) -> dict[str, Any]:
    """Return settings by lower-case name from `name=value` items; lists for those that are lists."""
    pairs = [item.split("=", 1) for item in stored or []]
    return {
        name.lower(): split_identifiers(value) if name.lower() in LIST_SETTINGS else value
        for name, value in pairs
    }


def setting_value(value: str | list[str]) -> sql.Composable:
    """Return a setting's value as SET wants it: a literal, or one for each item of a list."""
    return sql.SQL(", ").join(map(sql.Literal, value)) if isinstance(value, list) else sql.Literal(value)


def _settings(role: Row, held: Row) -> Iterator[Statement]:
    if role["settings"] is None:
        return
    has = stored_settings(held["settings"])
    for name in sorted(set(has) - set(role["settings"])):
        yield statement("ALTER ROLE {} RESET {}", role["name"], tuple(name.split(".")))
    for name, value in role["settings"].items():
        if has.get(name) != value:
            change = statement("ALTER ROLE {} SET {} TO ", role["name"], tuple(name.split(".")))
            yield Statement(change.sql + setting_value(value))


def _password(role: Row, held: Row) -> Iterator[Statement]:
    if role["password"] is not None and not matches(role["password"], held["rolpassword"]):
        change = statement("ALTER ROLE {} PASSWORD ", role["name"]).sql
        verifier = sql.Literal(make_verifier(role["password"]))
        yield Statement(change + verifier, shown=change + sql.SQL("'***'"))
