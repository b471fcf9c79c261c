"""The shop over HTTP, asynchronously: what customers look at."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from shop.database import Article
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

# What asyncpg does by itself: it prepares each statement, by a name that counts up.
CONNECT_ARGS: dict[str, Any] = {}

database = create_async_engine(os.environ["SHOP_DB"], pool_size=5, max_overflow=5, connect_args=CONNECT_ARGS)
app = FastAPI(title="Shop")


async def session() -> AsyncIterator[AsyncSession]:
    """A session for a request."""
    async with AsyncSession(database) as opened:
        yield opened


Db = Annotated[AsyncSession, Depends(session)]


@app.get("/status")
async def status(db: Db) -> dict[str, Any]:
    """Whether requests may come, and to which release."""
    articles = await db.scalar(select(func.count()).select_from(Article))
    return {"release": os.environ["RELEASE_ID"], "articles": articles}


@app.get("/articles")
async def articles(db: Db) -> list[dict[str, Any]]:
    """All articles."""
    found = await db.scalars(select(Article).order_by(Article.id))
    return [{"id": each.id, "name": each.name} for each in found]
