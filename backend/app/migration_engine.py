"""The engine that migrations run on: never without a limit to how long they wait for a lock."""

from __future__ import annotations

import os

from sqlalchemy import Engine, create_engine, make_url, pool

# As the bundle's role postgresql sets it for the migrator. Who waits for a lock lets all wait who come later.
LOCK_TIMEOUT = "5s"


def migration_engine(url: str) -> Engine:
    """A synchronous engine without a pool: one command, one connection, with the role's lock timeout or ours.

    Ours is an option of the session, so that RESET lock_timeout, which ends the building of an index, comes
    back to it. The direct endpoint takes it; a pooler would not.
    """
    engine = _engine(url, "")
    with engine.connect() as connection:
        unlimited = connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"
    return _engine(url, f"-c lock_timeout={LOCK_TIMEOUT}") if unlimited else engine


def _engine(url: str, option: str) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    arguments = {"application_name": "intowork-alembic"}
    if option:
        # What is given here takes the place of the URL's, and that of the environment's.
        given = parsed.query.get("options", os.environ.get("PGOPTIONS", ""))
        arguments["options"] = f"{given} {option}".strip()
    return create_engine(parsed, poolclass=pool.NullPool, connect_args=arguments)
