"""From the privileges that are held to those that are wanted, in the fewest GRANT and REVOKE statements.

An Acl maps a grantee (a role, or PUBLIC) to privileges by name. A privilege with the right to hand it on has
a second entry with a star, as psql shows it: {"SELECT", "SELECT*"}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible.module_utils.postgresql_statement import Statement, Target, grantee, words
from psycopg2 import sql

Acl = Mapping[str, Collection[str]]


def read_acl(rows: Iterable[Mapping[str, Any]] | None) -> dict[str, set[str]]:
    """Return the Acl of rows with grantee, privilege and grantable (the catalogs' `aclexplode`, as JSON)."""
    acl: dict[str, set[str]] = defaultdict(set)
    for row in rows or []:
        acl[row["grantee"]].add(row["privilege"])
        if row["grantable"]:
            acl[row["grantee"]].add(row["privilege"] + "*")
    return dict(acl)


def exactly(held: Acl, wanted: Acl, owner: str) -> dict[str, set[str]]:
    """Return `wanted` with nothing for all others who hold something. The owner is left alone."""
    everyone = {name: set(wanted.get(name, ())) for name in {*held, *wanted}}
    everyone.pop(owner, None)
    return everyone


def plan_acl(
    kind: str, entries: Iterable[tuple[Target | None, Acl, Acl]], prefix: sql.Composable | None = None
) -> list[Statement]:
    """Return the statements that make each target's held privileges the wanted ones.

    `kind` is the keyword before the names: TABLE, SCHEMA, …; for default privileges TABLES, without a target.
    Grantees that `wanted` does not name keep what they have. Revokes come first, since one that cascades can
    take what a grant then gives back.
    """
    by_grantee: dict[tuple[str, tuple[str, ...], str], list[Target | None]] = defaultdict(list)
    for target, held, wanted in entries:
        for name, privileges in sorted(wanted.items()):
            has, wants = set(held.get(name, ())), set(privileges)
            missing = wants - has
            extra = {each for each in has - wants if not each.endswith("*")}
            starred = {each[:-1] for each in has if each.endswith("*")}
            for verb, changes in (
                ("REVOKE", extra - starred),
                ("REVOKE CASCADE", extra & starred),
                ("REVOKE GRANT OPTION FOR", starred & wants),
                ("GRANT", missing),
            ):
                if changes:
                    by_grantee[verb, tuple(sorted(changes)), name].append(target)
    by_targets: dict[tuple[str, tuple[str, ...], tuple[Target | None, ...]], list[str]] = defaultdict(list)
    for (verb, changes_of, name), targets in by_grantee.items():
        by_targets[verb, changes_of, tuple(targets)].append(name)
    return [
        _statement(verb, list(privileges), kind, targets, names, prefix)
        for (verb, privileges, targets), names in sorted(
            by_targets.items(), key=lambda each: each[0][0] == "GRANT"
        )
    ]


def _statement(
    verb: str,
    privileges: list[str],
    kind: str,
    targets: tuple[Target | None, ...],
    names: list[str],
    prefix: sql.Composable | None,
) -> Statement:
    parts = [prefix] if prefix else []
    parts += [sql.SQL(verb.removesuffix(" CASCADE")), words(privileges), sql.SQL("ON"), sql.SQL(kind)]
    objects = [target.composed() for target in targets if target is not None]
    if objects:
        parts.append(sql.SQL(", ").join(objects))
    parts += [sql.SQL("TO" if verb == "GRANT" else "FROM"), sql.SQL(", ").join(map(grantee, sorted(names)))]
    if verb in {"REVOKE CASCADE", "REVOKE GRANT OPTION FOR"}:
        parts.append(sql.SQL("CASCADE"))  # and what was handed on with it
    return Statement(sql.SQL(" ").join(parts))
