"""What PostgreSQL's catalogs hold about roles, databases and privileges, read in few queries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.postgresql_acl import read_acl

Row = dict[str, Any]

# Only what the owner granted: what others handed on goes with their grant option.
ACL = """(SELECT coalesce(json_agg(json_build_object(
    'privilege', a.privilege_type, 'grantable', a.is_grantable,
    'grantee', CASE a.grantee WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee) END)), '[]')
  FROM pg_catalog.aclexplode({acl}) a WHERE a.grantor = {owner})"""
RELATION_ACL = ACL.format(
    acl="""coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))""",
    owner="relowner",
)

CLUSTER = f"""
SELECT json_build_object(
  'version', current_setting('server_version_num')::int,
  'standby', pg_catalog.pg_is_in_recovery(),
  'superuser', (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
  'roles', (SELECT json_object_agg(rolname, to_json(r)) FROM (
    SELECT a.*,
      ARRAY(SELECT json_build_object('role', g.rolname, 'admin', bool_or(m.admin_option))
            FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
            WHERE m.member = a.oid GROUP BY g.rolname) AS member_of,
      (SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s
       WHERE s.setrole = a.oid AND s.setdatabase = 0) AS settings
    FROM pg_catalog.pg_authid a) r),
  'databases', (SELECT json_object_agg(datname, json_build_object(
      'owner', pg_catalog.pg_get_userbyid(datdba), 'connectable', datallowconn AND datconnlimit <> -2,
      'acl', {ACL.format(acl="coalesce(datacl, acldefault('d', datdba))", owner="datdba")}))
    FROM pg_catalog.pg_database),
  'parameters', (SELECT json_object_agg(lower(name), context) FROM pg_catalog.pg_settings))
"""  # noqa: S608  # made of the constants above

DATABASE = f"""
SELECT json_build_object(
  'extensions', (SELECT json_object_agg(extname, json_build_object('schema', n.nspname,
      'owner', pg_catalog.pg_get_userbyid(extowner)))
    FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace),
  'schemas', (SELECT json_object_agg(nspname, json_build_object('owner', pg_catalog.pg_get_userbyid(nspowner),
      'acl', {ACL.format(acl="coalesce(nspacl, acldefault('n', nspowner))", owner="nspowner")}))
    FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'),
  'defaults', (SELECT coalesce(json_agg(json_build_object(
      'in_public', defaclnamespace <> 0, 'kind', defaclobjtype,
      'acl', {ACL.format(acl="defaclacl", owner="defaclrole")})), '[]')
    FROM pg_catalog.pg_default_acl
    WHERE pg_catalog.pg_get_userbyid(defaclrole) = %(owner)s
      AND defaclnamespace IN (0, to_regnamespace('public'))),
  'relations', (SELECT coalesce(json_agg(json_build_object('name', relname, 'kind', relkind,
      'acl', {RELATION_ACL},
      'columns', (SELECT coalesce(json_agg(x), '[]') FROM (
          SELECT DISTINCT b.privilege_type AS privilege, false AS grantable,
            CASE b.grantee WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(b.grantee) END AS grantee
          FROM pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) b
          WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL AND b.grantor = c.relowner) x))
      ORDER BY relname), '[]')
    FROM pg_catalog.pg_class c
    WHERE relnamespace = to_regnamespace('public') AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND pg_catalog.pg_get_userbyid(relowner) = %(owner)s
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
  'routines', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', proname,
      'types', pg_catalog.oidvectortypes(proargtypes),
      'owner', pg_catalog.pg_get_userbyid(proowner),
      'arguments', pg_catalog.pg_get_function_arguments(p.oid),
      'returns', pg_catalog.pg_get_function_result(p.oid), 'language', l.lanname, 'body', prosrc,
      'security_definer', prosecdef, 'settings', proconfig,
      'acl', {ACL.format(acl="coalesce(proacl, acldefault('f', proowner))", owner="proowner")})
      ORDER BY n.nspname, proname, proargtypes::text), '[]')
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace JOIN pg_catalog.pg_language l ON l.oid = prolang
    WHERE ((n.nspname = 'public' AND pg_catalog.pg_get_userbyid(proowner) = %(owner)s)
        OR (n.nspname::text, proname::text) IN
           (SELECT * FROM unnest(%(schemas)s::text[], %(functions)s::text[])))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')))
"""  # noqa: S608  # made of the constants above


@dataclass
class Cluster:
    """Roles and databases by name. An absent role or database is simply not in its dict."""

    version: int
    standby: bool
    superuser: bool
    roles: dict[str, Row]
    databases: dict[str, Row]
    parameters: dict[str, str]  # every setting, in lower case, with its context


@dataclass
class Database:
    """What one database holds. The defaults are those of a database just made from template0."""

    extensions: dict[str, Row] = field(default_factory=lambda: {"plpgsql": {"schema": "pg_catalog"}})
    schemas: dict[str, Row] = field(
        default_factory=lambda: {"public": {"owner": "pg_database_owner", "acl": {"public": {"USAGE"}}}}
    )
    defaults: list[Row] = field(default_factory=list)
    relations: list[Row] = field(default_factory=list)
    routines: list[Row] = field(default_factory=list)


def _one(cursor: Any, query: str, values: dict[str, Any] | None = None) -> Row:
    cursor.execute(query, values)
    [found] = cursor.fetchone()
    return dict(json.loads(found) if isinstance(found, str) else found)


def read_cluster(cursor: Any) -> Cluster:
    """Return what the cluster holds; needs the right to read pg_authid, so a superuser."""
    found = _one(cursor, CLUSTER)
    for database in found["databases"].values():
        database["acl"] = read_acl(database["acl"])
    return Cluster(**found)


def read_database(cursor: Any, owner: str, functions: list[tuple[str, str]]) -> Database:
    """Return what a database holds: the owner's objects in schema public, and the functions asked for.

    `functions` are pairs of schema and name; all their overloads are read.
    """
    found = _one(
        cursor,
        DATABASE,
        {
            "owner": owner,
            "schemas": [each[0] for each in functions],
            "functions": [each[1] for each in functions],
        },
    )
    for each in [*found["schemas"].values(), *found["defaults"], *found["relations"], *found["routines"]]:
        each["acl"] = read_acl(each["acl"])
    for relation in found["relations"]:
        relation["columns"] = read_acl(relation["columns"])
    return Database(**found)
