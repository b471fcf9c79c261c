"""Databases: who connects, their extensions and schemas, and what roles may do with the owner's objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ansible.module_utils.postgresql_acl import Acl, exactly, plan_acl
from ansible.module_utils.postgresql_catalog import Database, Row
from ansible.module_utils.postgresql_functions import Signatures, plan_function
from ansible.module_utils.postgresql_statement import PUBLIC, Statement, Target, statement
from psycopg2 import sql

NEW_DATABASE_ACL: Acl = {PUBLIC: {"CONNECT", "TEMPORARY"}}  # PostgreSQL's default, acldefault('d', owner)

KINDS = {"r": ("tables", "TABLES"), "S": ("sequences", "SEQUENCES"), "f": ("functions", "FUNCTIONS")}


def create_database(wanted: Row) -> Statement:
    """Return CREATE DATABASE, which cannot run in a transaction."""
    create = statement("CREATE DATABASE {} OWNER {} TEMPLATE template0", wanted["name"], wanted["owner"]).sql
    options = sql.SQL(" ENCODING {} LOCALE {}").format(
        sql.Literal(wanted["encoding"]), sql.Literal(wanted["locale"])
    )
    return Statement(create + options)


def plan_database(
    wanted: Row, acl: Acl, held: Database, extension_schemas: Row, signatures: Signatures, login_user: str
) -> Iterator[Statement]:
    """Yield what runs inside the database, in order, in one transaction.

    `acl` is the database's own. `extension_schemas` has, for each available extension, the schema into which
    its control file forces it, None where it leaves the choice.
    """
    if wanted["connect"] is not None:
        connect = {role: {"CONNECT"} for role in wanted["connect"]}
        entry = (Target((wanted["name"],)), acl, exactly(acl, connect, wanted["owner"]))
        yield from plan_acl("DATABASE", [entry])
    yield from _schemas(wanted, held)
    for extension in wanted["extensions"]:
        yield from _extension(extension, held, extension_schemas)
    yield from _default_privileges(wanted, held)
    yield from _present_objects(wanted, held, signatures)
    for function in wanted["functions"]:
        yield from plan_function(function, held.routines, signatures, login_user)


def _schemas(wanted: Row, held: Database) -> Iterator[Statement]:
    named = [each["schema"] for each in [*wanted["extensions"], *wanted["functions"]] if each["schema"]]
    for name in dict.fromkeys(["public", *named]):
        if name not in held.schemas:
            yield statement("CREATE SCHEMA {}", name)
    public = held.schemas.get("public", {"owner": None, "acl": {}})
    if public["owner"] != wanted["schema_public_owner"]:
        yield statement("ALTER SCHEMA public OWNER TO {}", wanted["schema_public_owner"])
    users: dict[str, dict[str, set[str]]] = defaultdict(dict)
    # USAGE stays PUBLIC's: extensions live in schema public, and every object there has its own privileges.
    users["public"][PUBLIC] = {"USAGE"} & set(public["acl"].get(PUBLIC, ()))
    users["public"] |= {each["role"]: {"USAGE"} for each in wanted["privileges"]}
    for function in wanted["functions"]:
        users[function["schema"]] |= {role: {"USAGE"} for role in function["execute"]}
    entries = [
        (Target((name,)), held.schemas.get(name, {"acl": {}})["acl"], roles) for name, roles in users.items()
    ]
    owner_of_public = wanted["schema_public_owner"]
    if owner_of_public not in (wanted["owner"], "pg_database_owner"):
        users["public"][wanted["owner"]] = {"USAGE", "CREATE"}  # where migrations put their tables
    users["public"].pop(owner_of_public, None)
    yield from plan_acl("SCHEMA", entries)


def _extension(extension: Row, held: Database, extension_schemas: Row) -> Iterator[Statement]:
    name, schema = extension["name"], extension["schema"]
    has = held.extensions.get(name)
    if has is None and (schema or extension_schemas.get(name) is None):
        yield statement("CREATE EXTENSION {} SCHEMA {}", name, schema or "public")
    elif has is None:
        yield statement("CREATE EXTENSION {}", name)
    elif schema and has["schema"] != schema:
        yield statement("ALTER EXTENSION {} SET SCHEMA {}", name, schema)


def _granted(wanted: Row, key: str, *, held_by_public: set[str]) -> dict[str, set[str]]:
    """Return who is to have which privileges on tables, sequences or functions.

    PUBLIC gets none, except that PostgreSQL lets it execute every function: that is taken away only where
    functions are granted by name.
    """
    roles = {each["role"]: set(each[key]) for each in wanted["privileges"]}
    managed = key != "functions" or any(each["functions"] for each in wanted["privileges"])
    return roles | {PUBLIC: set() if managed else held_by_public}


def _default_privileges(wanted: Row, held: Database) -> Iterator[Statement]:
    if not wanted["privileges"]:
        return
    prefix = statement("ALTER DEFAULT PRIVILEGES FOR ROLE {}", wanted["owner"]).sql
    for kind, (key, keyword) in KINDS.items():
        everywhere, in_public = (
            next(
                (each["acl"] for each in held.defaults if (each["in_public"], each["kind"]) == (where, kind)),
                None,
            )
            for where in (False, True)
        )
        if everywhere is None:
            everywhere = {PUBLIC: {"EXECUTE"}} if kind == "f" else {}
        allowed = _granted(wanted, key, held_by_public=everywhere.get(PUBLIC, set()))
        # Default privileges in a schema only add to those for all schemas: what is too much there goes there.
        kept = {role: of & everywhere.get(role, set()) for role, of in allowed.items()}
        yield from plan_acl(keyword, [(None, everywhere, kept)], prefix)
        allowed = _granted(wanted, key, held_by_public=(in_public or {}).get(PUBLIC, set()))
        yield from plan_acl(
            keyword, [(None, in_public or {}, allowed)], prefix + sql.SQL(" IN SCHEMA public")
        )


def _present_objects(wanted: Row, held: Database, signatures: Signatures) -> Iterator[Statement]:
    if not wanted["privileges"]:
        return
    tables: list[tuple[Target | None, Acl, Acl]] = []
    sequences: list[tuple[Target | None, Acl, Acl]] = []
    for relation in held.relations:
        key = "sequences" if relation["kind"] == "S" else "tables"
        allowed = _granted(wanted, key, held_by_public=set())
        if relation["name"] in wanted["protected_tables"]:
            allowed = {role: of & {"SELECT"} for role, of in allowed.items()}
        # A privilege on single columns is too much like one on the table, but never enough.
        has = {role: set(relation["acl"].get(role, ())) for role in allowed}
        for role, of in allowed.items():
            has[role] |= set(relation["columns"].get(role, ())) - of
        (sequences if key == "sequences" else tables).append(
            (Target(("public", relation["name"])), has, allowed)
        )
    yield from plan_acl("TABLE", tables)
    yield from plan_acl("SEQUENCE", sequences)
    own = {
        (
            each["schema"],
            each["name"],
            ", ".join(kind for _name, kind in signatures.parameters(each["arguments"])),
        )
        for each in wanted["functions"]
    }
    routines = [
        (Target((each["schema"], each["name"]), each["types"]), each["acl"])
        for each in held.routines
        if each["schema"] == "public" and each["owner"] == wanted["owner"]
    ]
    yield from plan_acl(
        "ROUTINE",
        [
            (target, acl, _granted(wanted, "functions", held_by_public=acl.get(PUBLIC, set())))
            for target, acl in routines
            if (*target.name, target.arguments) not in own
        ],
    )
