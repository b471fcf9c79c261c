"""The operator's commands about personal data: seal-tokens, export, purge."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.addresses import same
from app.database import connection_parameters, make_engine
from app.models import User
from app.personal_data import PersonalData, personal_data
from app.privacy import purge as purge_user
from app.sealing import reseal
from app.settings import Settings


def add_commands(named: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three to the commands of `python -m app.cli`."""
    seal = named.add_parser(
        "seal-tokens",
        help="seal OAuth tokens that are in the clear, or sealed with an older key, with the first key",
    )
    seal.set_defaults(run=seal_tokens)
    export = named.add_parser("export", help="print everything that is stored about a user, as JSON")
    export.set_defaults(run=export_user)
    purge = named.add_parser("purge", help="say what forgetting a user would remove; with --yes, forget them")
    purge.add_argument("--yes", action="store_true", help="do it; there is no way back")
    purge.set_defaults(run=forget_user)
    for command in (export, purge):
        command.add_argument("--email", required=True, help="the user's address")


def seal_tokens(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Seal what is not sealed with the first key. 1 when some could not be opened, 2 without a key."""
    if settings.sealer is None:
        print("TOKEN_KEYS is not set; it says which keys to seal with", file=sys.stderr)
        return 2
    with psycopg.connect(
        **connection_parameters(settings.url), connect_timeout=5, autocommit=True
    ) as connection:
        renewed, unopened = reseal(connection, settings.sealer)
    print(f"{renewed} accounts sealed with the first key, {len(unopened)} cannot be opened")
    if unopened:
        listed = ", ".join(map(str, unopened[:20]))
        print(
            f"add the keys that these need (sealed:KEY:…) to TOKEN_KEYS: accounts {listed}", file=sys.stderr
        )
        return 1
    return 0


def export_user(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print all data of a user; 1 when there is none."""
    return _run(_export(arguments.email, settings))


def forget_user(arguments: argparse.Namespace, settings: Settings) -> int:
    """Remove all data of a user, or say what that would be; 1 when there is none."""
    return _run(_purge(arguments.email, settings, arguments.yes))


async def _export(email: str, settings: Settings) -> int:
    async with _session(settings) as database:
        found = await _data_of(database, email)
    if found is None:
        return 1
    print(found.model_dump_json(indent=2))
    return 0


async def _purge(email: str, settings: Settings, really: bool) -> int:
    async with _session(settings) as database:
        found = await _data_of(database, email)
        if found is None:
            return 1
        user_id = found.user["id"]
        if really:
            await purge_user(database, user_id, None)
            await database.commit()
    rows = {name: len(value) for name, value in found if isinstance(value, list) and value}
    kept = "emptied, and the jobs stay" if found.employer else "deleted"
    print(f"user {user_id} {'was' if really else 'would be'} {kept}")
    print("rows about them: " + (", ".join(f"{name} {count}" for name, count in rows.items()) or "no others"))
    for cv in found.candidate_cvs:
        print(f"a file that this service does not hold, to be removed where it is: {cv['file_path']}")
    if not really:
        print("nothing was changed; with --yes it is done, and there is no way back")
    return 0


async def _data_of(database: AsyncSession, email: str) -> PersonalData | None:
    user_id = await database.scalar(select(User.id).where(func.lower(User.email) == same(email)))
    found = None if user_id is None else await personal_data(database, user_id)
    if found is None:
        print(f"no user has the address {email!r}; look in the table users", file=sys.stderr)
    return found


@asynccontextmanager
async def _session(settings: Settings) -> AsyncIterator[AsyncSession]:
    engine = make_engine(settings)
    try:
        async with AsyncSession(engine) as database:
            yield database
    finally:
        await engine.dispose()


def _run(command: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(command)
    except OperationalError as error:
        # What `main` explains.
        raise error.orig if isinstance(error.orig, psycopg.OperationalError) else error from None
