"""The engine's transactions: the driver begins none, so each is begun by us, also a second one."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.database import make_engine
from app.settings import Settings
from harness.cluster import Database
from harness.pooler import Pooler

ADD = text("INSERT INTO companies (name) VALUES (:name)")


def add_companies(database: Database, pooler: Pooler, *ends: str) -> None:
    """Add a company in a transaction that ends with each of `ends`, all of them on one connection."""
    settings = Settings(
        database_url=SecretStr(database.url("app", pooler.host, pooler.port)), jwt_secret=SecretStr("s" * 32)
    )

    async def run() -> None:
        engine = make_engine(settings)
        try:
            async with engine.connect() as connection:
                for number, end in enumerate(ends):
                    await connection.execute(ADD, {"name": f"{number} {end}"})
                    await getattr(connection, end)()
        finally:
            await engine.dispose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("ends", "kept"),
    [
        (["rollback"], []),
        (["commit", "rollback"], ["0 commit"]),
        (["rollback", "rollback", "commit"], ["2 commit"]),
    ],
)
def test_what_is_rolled_back_is_gone_in_whichever_transaction_of_a_connection(
    database: Database, pooler: Pooler, ends: list[str], kept: list[str]
) -> None:
    add_companies(database, pooler, *ends)
    assert database.rows("SELECT name FROM companies ORDER BY 1") == [(name,) for name in kept]
