"""Health, for the proxy, the deployment and people."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, status
from fastapi.responses import JSONResponse

from app.health import DatabaseProbe, Drain
from app.settings import Settings

RETRY_AFTER_SECONDS = 2

router = APIRouter(tags=["health"])


def _answer(healthy: bool, body: dict[str, Any]) -> JSONResponse:
    if healthy:
        return JSONResponse(body)
    return JSONResponse(
        body, status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """This process runs, and which release it is. Asks no database."""
    settings: Settings = request.app.state.settings
    return {"status": "healthy", "release": settings.release_id, "environment": settings.environment}


@router.get("/health/ready", responses={503: {"description": "Send no requests here now"}})
async def ready(request: Request) -> JSONResponse:
    """Whether the proxy may send requests: the database answers, and this worker is not stopping."""
    drain: Drain = request.app.state.drain
    probe: DatabaseProbe = request.app.state.probe
    reason = "draining" if drain.draining else await probe.problem()
    settings: Settings = request.app.state.settings
    body = {"status": "ready" if reason is None else "not ready", "release": settings.release_id}
    return _answer(reason is None, body if reason is None else {**body, "reason": reason})


@router.get("/health/database", responses={503: {"description": "The database does not answer"}})
async def database(request: Request) -> JSONResponse:
    """Whether the database answers, within two seconds either way."""
    probe: DatabaseProbe = request.app.state.probe
    reason = await probe.problem()
    if reason is None:
        return _answer(True, {"status": "healthy", "database": "connected"})
    return _answer(False, {"status": "unhealthy", "database": "disconnected", "reason": reason})
