"""How alembic reaches the database: DATABASE_URL, the direct endpoint, as the migrator.

The URL may be the product's (postgresql+psycopg://…) or plain (postgresql://…). Rendering SQL (`--sql`) needs
none.
"""

from __future__ import annotations

import logging.config
import os
import sys
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine

from app.migration_engine import migration_engine
from app.models import Base

config = context.config
if config.config_file_name is not None and config.attributes.get("configure_logger", True):
    logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)


def run(connection: Connection | None, **options: Any) -> None:
    """Run what the command asked for; each migration is a transaction of its own."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_type=True,
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


def engine_from_environment() -> Engine:
    """The engine for DATABASE_URL."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        sys.exit("DATABASE_URL is missing; write postgresql+psycopg://MIGRATOR:PASSWORD@HOST:5432/DATABASE")
    return migration_engine(url)


if context.is_offline_mode():
    run(None, dialect_name="postgresql", literal_binds=True, dialect_opts={"paramstyle": "named"})
else:
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        run(given)
    else:
        with (given or engine_from_environment()).connect() as opened:
            run(opened)
