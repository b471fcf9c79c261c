"""The shop over HTTP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shop.database import Article, Order, engine
from shop.settings import Settings

settings = Settings.read()
database = engine(settings.database)


@asynccontextmanager
async def lifespan(_: FastAPI) -> Any:
    """Give the connections back at the end."""
    yield
    database.dispose()


app = FastAPI(title="Shop", lifespan=lifespan)


def session() -> Iterator[Session]:
    """A session for a request; what it did stays only if nothing failed."""
    with Session(database) as opened, opened.begin():
        yield opened


Db = Annotated[Session, Depends(session)]


class NewOrder(BaseModel):
    """An order as it comes in."""

    article: int
    number: int = Field(ge=1, le=100)


@app.get("/status")
def status(db: Db) -> dict[str, Any]:
    """Whether requests may come, and to which release. 503 while there is nothing to sell."""
    try:
        articles = db.scalar(select(func.count()).select_from(Article))
    except SQLAlchemyError as error:
        raise HTTPException(503, str(error)) from error
    if not articles or shutil.which("qrencode") is None:
        raise HTTPException(503, f"{articles} articles; labels are printed by {shutil.which('qrencode')}")
    return {"release": settings.release, "articles": articles}


@app.get("/articles")
def articles(db: Db) -> list[dict[str, Any]]:
    """All articles."""
    found = db.scalars(select(Article).order_by(Article.id))
    return [
        {"id": each.id, "name": each.name, "price": f"{each.cents / 100:.2f} {settings.currency}"}
        for each in found
    ]


@app.post("/orders", status_code=201)
def order(wanted: NewOrder, db: Db) -> dict[str, int]:
    """Order an article."""
    if db.get(Article, wanted.article) is None:
        raise HTTPException(404, "there is no such article")
    placed = Order(article_id=wanted.article, number=wanted.number)
    db.add(placed)
    db.flush()
    return {"id": placed.id}


@app.put("/articles/{article}/picture", status_code=204)
async def put_picture(
    article: int, request: Request, key: Annotated[str, Header(alias="X-Counter-Key")]
) -> None:
    """Keep a picture of an article."""
    if key != settings.counter_key:
        raise HTTPException(403, "that is not the key")
    (settings.pictures / f"{article}").write_bytes(await request.body())


@app.get("/articles/{article}/picture")
def picture(article: int) -> Response:
    """The picture of an article."""
    file = settings.pictures / f"{article}"
    if not file.is_file():
        raise HTTPException(404, "there is no picture of it")
    return Response(file.read_bytes(), media_type="image/png")


@app.get("/articles/{article}/label")
def label(article: int) -> Response:
    """A label with a code that leads to the article, for printing; Debian's qrencode draws it."""
    drawn = subprocess.run(["qrencode", "--output=-", f"shop:{article}"], check=True, capture_output=True)
    return Response(drawn.stdout, media_type="image/png")
