"""Applications that run on the benchmark's host, as text: a bare hello, and the job list with other ways to JSON."""

HELLO = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})
"""

# The product itself with three routes more. Each runs the list's own statement and makes the same answer of it.
VARIANTS = """
import json
from typing import Annotated

import orjson
from fastapi import Query, Response

from app.api.jobs import LIST, JobFilter, JobPage, list_values
from app.limits import SearchDatabase
from app.main import create_app
from app.pages import encode_cursor
from app.settings import settings

app = create_app(settings())


async def page(wanted, database):
    rows = (await database.execute(LIST, list_values(wanted))).all()
    last = rows[wanted.limit - 1]
    items = [dict(zip(rows[0]._fields, row, strict=True)) for row in rows[: wanted.limit]]
    return {"items": items, "next_cursor": encode_cursor(last.posted_at, last.id)}


@app.get("/bench/model", response_model=JobPage)
async def by_model(wanted: Annotated[JobFilter, Query()], database: SearchDatabase):
    return await page(wanted, database)


@app.get("/bench/json")
async def by_json(wanted: Annotated[JobFilter, Query()], database: SearchDatabase):
    body = json.dumps(await page(wanted, database), default=lambda at: at.isoformat(), ensure_ascii=False)
    return Response(body, media_type="application/json")


@app.get("/bench/orjson")
async def by_orjson(wanted: Annotated[JobFilter, Query()], database: SearchDatabase):
    return Response(orjson.dumps(await page(wanted, database)), media_type="application/json")
"""
