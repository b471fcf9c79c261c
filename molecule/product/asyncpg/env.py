"""How Alembic reaches the database: SHOP_DB, which is asyncpg's; migrations are synchronous."""

from __future__ import annotations

import os

from alembic import context
from shop.database import Base
from sqlalchemy import create_engine, make_url

url = make_url(os.environ["SHOP_DB"]).set(drivername="postgresql+psycopg", query={"sslmode": "require"})
with create_engine(url).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table="shop_version",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
