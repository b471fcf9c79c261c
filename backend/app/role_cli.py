"""The operator's command set-role: the first administrator is made by nobody else."""

from __future__ import annotations

import argparse
import sys

import psycopg

from app.addresses import same
from app.database import connection_parameters
from app.models.users import USER_ROLES
from app.settings import Settings

USER = "SELECT id, role, is_active AND deleted_at IS NULL FROM users WHERE lower(email) = %s FOR UPDATE"
# What a role works with; a profile of the role before stays for its return.
PROFILES = {
    "candidate": "INSERT INTO candidates (user_id) VALUES (%s) ON CONFLICT (user_id) DO NOTHING",
    "employer": "INSERT INTO employers (user_id) VALUES (%s) ON CONFLICT (user_id) DO NOTHING",
}


def add_to(named: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the commands of `python -m app.cli`."""
    command = named.add_parser(
        "set-role", help="give a user another role, such as admin; it counts from their next request on"
    )
    command.add_argument("--email", required=True, help="the user's address; they have registered with it")
    command.add_argument("role", choices=USER_ROLES)
    command.set_defaults(run=set_role)


def set_role(arguments: argparse.Namespace, settings: Settings) -> int:
    """Set the role of the active user with this address; 1 when there is none."""
    email, role = arguments.email, arguments.role
    with psycopg.connect(**connection_parameters(settings.url), connect_timeout=5) as connection:
        row = connection.execute(USER, (same(email),)).fetchone()
        if row is None:
            print(f"no user has the address {email!r}; let them register first", file=sys.stderr)
            return 1
        user_id, before, active = row
        if not active:
            print(f"the user {email!r} is deleted or not active, and cannot sign in", file=sys.stderr)
            return 1
        if before == role:
            print(f"{email} is {role} already; nothing was changed")
            return 0
        connection.execute("UPDATE users SET role = %s, updated_at = now() WHERE id = %s", (role, user_id))
        if role in PROFILES:
            connection.execute(PROFILES[role], (user_id,))
    print(f"{email} was {before} and is {role} now, from the next request on")
    return 0
