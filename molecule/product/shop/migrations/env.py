"""How Alembic reaches the database: SHOP_DB. Rendering SQL needs none."""

from __future__ import annotations

import os

from alembic import context
from shop.database import Base
from sqlalchemy import create_engine

VERSIONS = "shop_version"

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", target_metadata=Base.metadata, version_table=VERSIONS, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(os.environ["SHOP_DB"]).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table=VERSIONS,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
