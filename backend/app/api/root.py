"""The front door: where a person who opens the service's address finds the rest."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.settings import Settings

router = APIRouter(tags=["root"])


@router.get("/")
async def root(request: Request) -> dict[str, str]:
    """What this is, which release of it, and where to go on."""
    settings: Settings = request.app.state.settings
    return {
        "service": "IntoWork API",
        "release": settings.release_id,
        "documentation": "/docs",
        "jobs": "/api/jobs",
        "health": "/health",
    }
