"""What the database says about itself, for administrators. Of this database alone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import psycopg
from fastapi import APIRouter, Depends, HTTPException, Query, status
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError

from app import database_statistics as statistics
from app.auth import require_role
from app.database import Database

router = APIRouter(
    prefix="/api/monitoring",
    tags=["monitoring"],
    dependencies=[Depends(require_role("admin"))],
    responses={403: {"description": "You are no administrator"}},
)

Limit = Annotated[int, Query(ge=1, le=100, description="Rows at most")]
# The share of reads that should come from memory.
ENOUGH_HITS = 0.95
NO_EXTENSION = (
    "The extension pg_stat_statements is not in this database, or the server has not loaded it: add it to"
    " shared_preload_libraries and CREATE EXTENSION pg_stat_statements."
)


class SlowQuery(BaseModel):
    """A statement, without its values."""

    query: str = Field(examples=["SELECT jobs.id FROM jobs WHERE jobs.status = $1"])
    calls: int = Field(examples=[1200])
    rows_returned: int = Field(examples=[24000])
    mean_ms: float = Field(examples=[12.5])
    max_ms: float = Field(examples=[340.0])
    total_ms: float = Field(examples=[15000.0])
    cache_hit_ratio: float | None = Field(description="None when it read nothing", examples=[0.99])


class SlowQueries(BaseModel):
    """Statements that take `threshold_ms` or more on average, the slowest first."""

    threshold_ms: float = Field(examples=[100.0])
    queries: list[SlowQuery]


class Index(BaseModel):
    """How an index is used."""

    schema_: str = Field(alias="schema", examples=["public"])
    table: str = Field(examples=["jobs"])
    index: str = Field(examples=["idx_jobs_status_job_type"])
    is_valid: bool = Field(description="False after a build that failed: drop it and build it again")
    is_unique: bool
    scans: int = Field(examples=[51234])
    tuples_read: int = Field(examples=[51234])
    tuples_fetched: int = Field(examples=[49871])
    share_of_table_scans: float | None = Field(description="None when nobody read the table", examples=[0.8])
    bytes: int = Field(examples=[8192])
    definition: str = Field(examples=["CREATE INDEX idx_jobs_status_job_type ON public.jobs …"])


class IndexUsage(BaseModel):
    """Invalid indexes first, then those that are used least."""

    indexes: list[Index]


class TableCache(BaseModel):
    """Where a table's blocks, with its indexes', came from."""

    schema_: str = Field(alias="schema", examples=["public"])
    table: str = Field(examples=["jobs"])
    hits: int = Field(examples=[99000])
    reads: int = Field(examples=[1000])
    ratio: float | None = Field(examples=[0.99])


class CacheHitRatio(BaseModel):
    """Blocks that were found in PostgreSQL's memory, of all that were asked for."""

    ratio: float | None = Field(description="None when nothing was read yet", examples=[0.998])
    status: Literal["healthy", "needs tuning", "unknown"] = Field(
        description=f"healthy from {ENOUGH_HITS:g} on"
    )
    hits: int = Field(examples=[99000])
    reads: int = Field(examples=[1000])
    since: datetime | None = Field(description="When these statistics were last reset")
    tables: list[TableCache] = Field(description="Those that read the most first")


class TableSize(BaseModel):
    """What a table takes, and how much of it is dead."""

    schema_: str = Field(alias="schema", examples=["public"])
    table: str = Field(examples=["jobs"])
    total_bytes: int = Field(examples=[1048576])
    table_bytes: int = Field(examples=[786432])
    index_bytes: int = Field(examples=[262144])
    live_rows: int = Field(description="An estimate", examples=[4900])
    dead_rows: int = Field(description="An estimate", examples=[100])
    dead_ratio: float | None = Field(description="None for an empty table", examples=[0.02])
    last_vacuum: datetime | None
    last_analyze: datetime | None


class TableSizes(BaseModel):
    """The largest first."""

    tables: list[TableSize]


class ConnectionGroup(BaseModel):
    """Connections of one user in one state."""

    role_name: str | None = Field(examples=["intowork_app"])
    state: str = Field(examples=["idle"])
    connections: int = Field(examples=[12])
    longest_transaction_seconds: float | None = Field(examples=[0.01])
    waiting_for_a_lock: int = Field(examples=[0])


class Connections(BaseModel):
    """Connections to this database, of those that the server allows for all databases."""

    total: int = Field(examples=[25])
    max_connections: int = Field(examples=[100])
    groups: list[ConnectionGroup]


@router.get(
    "/slow-queries",
    responses={501: {"description": "The extension pg_stat_statements is not there"}},
)
async def slow_queries(
    database: Database,
    limit: Limit = 20,
    threshold_ms: Annotated[float, Query(ge=0, le=3_600_000, description="Mean time at least")] = 100,
) -> SlowQueries:
    """Statements by their mean time. Values in them are not shown."""
    wanted = {"at_most": limit, "threshold_ms": threshold_ms}
    try:
        rows = (await database.execute(statistics.SLOW_QUERIES, wanted)).mappings().all()
    except DBAPIError as error:
        missing = (psycopg.errors.UndefinedTable, psycopg.errors.ObjectNotInPrerequisiteState)
        if not isinstance(error.orig, missing):
            raise
        # 501, not 503: it does not pass by itself.
        raise HTTPException(status.HTTP_501_NOT_IMPLEMENTED, NO_EXTENSION) from None
    shown = [{**row, "query": statistics.without_literals(row["query"])} for row in rows]
    return SlowQueries.model_validate({"threshold_ms": threshold_ms, "queries": shown})


@router.get("/index-usage")
async def index_usage(database: Database, limit: Limit = 50) -> IndexUsage:
    """Every index with how often it was used: one that never is costs writes for nothing."""
    rows = (await database.execute(statistics.INDEX_USAGE, {"at_most": limit})).mappings().all()
    return IndexUsage.model_validate({"indexes": rows})


@router.get("/cache-hit-ratio")
async def cache_hit_ratio(database: Database, limit: Limit = 20) -> CacheHitRatio:
    """How much is read from PostgreSQL's memory; below 95 % there is too little of it."""
    whole = (await database.execute(statistics.CACHE_OF_DATABASE)).mappings().one()
    tables = (await database.execute(statistics.CACHE_OF_TABLES, {"at_most": limit})).mappings().all()
    ratio = whole["ratio"]
    verdict = "unknown" if ratio is None else "healthy" if ratio >= ENOUGH_HITS else "needs tuning"
    return CacheHitRatio.model_validate({**whole, "status": verdict, "tables": tables})


@router.get("/table-sizes")
async def table_sizes(database: Database, limit: Limit = 50) -> TableSizes:
    """What each table takes, with its indexes, and when it was last vacuumed and analysed."""
    rows = (await database.execute(statistics.TABLE_SIZES, {"at_most": limit})).mappings().all()
    return TableSizes.model_validate({"tables": rows})


@router.get("/connections")
async def connections(database: Database, limit: Limit = 50) -> Connections:
    """Who is connected and does what, and who waits for a lock."""
    allowed = await database.scalar(statistics.MAX_CONNECTIONS)
    rows = (await database.execute(statistics.CONNECTIONS, {"at_most": limit})).mappings().all()
    total = sum(row["connections"] for row in rows)
    return Connections.model_validate({"total": total, "max_connections": allowed, "groups": rows})
