"""Commands for an operator: `python -m app.cli COMMAND`."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import timedelta

import psycopg

from app import housekeeping, role_cli
from app.auth import make_token
from app.data_check import command as check_data
from app.database import connection_parameters
from app.personal_data_cli import add_commands
from app.settings import Settings, SettingsError, load


def check_settings(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Say that the settings can be used. Wrong ones never come here."""
    print(f"settings can be used: release {settings.release_id}, environment {settings.environment}")
    return 0


def token(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print a token for the active user with this address; 1 when there is none."""
    with psycopg.connect(**connection_parameters(settings.url), connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT id, is_active FROM users WHERE lower(email) = lower(%s)", (arguments.email,)
        ).fetchone()
    if row is None:
        print(f"no user has the address {arguments.email!r}; look in the table users", file=sys.stderr)
        return 1
    if not row[1]:
        print(f"the user {arguments.email!r} is not active; the API would refuse the token", file=sys.stderr)
        return 1
    print(make_token(row[0], settings.jwt_secret.get_secret_value(), timedelta(minutes=arguments.minutes)))
    return 0


def openapi(_arguments: argparse.Namespace, _settings: Settings) -> int:
    """Print the API's description as JSON."""
    # Here, since it makes the whole application.
    from app.main import app

    print(json.dumps(app.openapi(), indent=2, ensure_ascii=False))
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    commands = argparse.ArgumentParser(prog="python -m app.cli", description=__doc__)
    named = commands.add_subparsers(required=True, metavar="COMMAND")
    check = named.add_parser(
        "check-settings", help="check the environment; what a service runs before it starts"
    )
    check.set_defaults(run=check_settings)
    mint = named.add_parser("token", help="print a bearer token for a user")
    mint.add_argument("--email", required=True, help="the user's address, for example candidate@example.com")
    mint.add_argument("--minutes", type=int, default=60, help="how long it is good (default: %(default)s)")
    mint.set_defaults(run=token)
    described = named.add_parser("openapi", help="print the API's description (OpenAPI) as JSON")
    described.set_defaults(run=openapi)
    role_cli.add_to(named)
    add_commands(named)
    check_data.add_to(named)
    housekeeping.add_to(named)
    return commands


def main(words: list[str] | None = None) -> int:
    """Run one command; its exit status is returned, 2 for wrong settings."""
    arguments = parser().parse_args(words)
    try:
        settings = load(Settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return int(arguments.run(arguments, settings))
    except psycopg.OperationalError as error:
        print(f"cannot use the database of DATABASE_URL: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
