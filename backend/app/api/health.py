"""Health, for the proxy, the deployment and people."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.errors import retry_after
from app.health import DatabaseProbe, Drain
from app.pool_statistics import PoolNumbers, PoolStatistics
from app.problems import problem_response
from app.settings import Settings

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """This process runs."""

    status: Literal["healthy"] = Field(examples=["healthy"])
    release: str = Field(description="Which release this is", examples=["v1.4.0"])
    environment: str = Field(examples=["production"])


class Ready(BaseModel):
    """This worker takes requests."""

    status: Literal["ready"] = Field(examples=["ready"])
    release: str = Field(description="Which release this is", examples=["v1.4.0"])


class DatabaseHealth(BaseModel):
    """The database answers."""

    status: Literal["healthy"] = Field(examples=["healthy"])
    database: Literal["connected"] = Field(examples=["connected"])


@router.get("/health")
async def health(request: Request) -> Health:
    """This process runs, and which release it is. Asks no database."""
    settings: Settings = request.app.state.settings
    return Health(status="healthy", release=settings.release_id, environment=settings.environment)


@router.get(
    "/health/ready", response_model=Ready, responses={503: {"description": "Send no requests here now"}}
)
async def ready(request: Request) -> Ready | JSONResponse:
    """Whether the proxy may send requests: the database answers, and this worker is not stopping."""
    drain: Drain = request.app.state.drain
    probe: DatabaseProbe = request.app.state.probe
    reason = "draining" if drain.draining else await probe.problem()
    if reason is not None:
        return _unwell(request, f"Not ready: {reason}.")
    settings: Settings = request.app.state.settings
    return Ready(status="ready", release=settings.release_id)


@router.get(
    "/health/database",
    response_model=DatabaseHealth,
    responses={503: {"description": "The database does not answer"}},
)
async def database(request: Request) -> DatabaseHealth | JSONResponse:
    """Whether the database answers, within two seconds either way."""
    probe: DatabaseProbe = request.app.state.probe
    reason = await probe.problem()
    if reason is not None:
        return _unwell(request, f"The database cannot be used: {reason}.")
    return DatabaseHealth(status="healthy", database="connected")


@router.get("/health/db-pool")
async def db_pool(request: Request) -> PoolNumbers:
    """How full the pool of the worker that answers is. Degraded is no outage: it answers 200."""
    pool: PoolStatistics = request.app.state.pool
    return pool.numbers()


def _unwell(request: Request, detail: str) -> JSONResponse:
    return problem_response(request, status.HTTP_503_SERVICE_UNAVAILABLE, detail, headers=retry_after())
