"""The front door: where a person who opens the service's address finds the rest."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.settings import Settings

router = APIRouter(tags=["root"])


class FrontDoor(BaseModel):
    """What this is, and the ways on."""

    service: str = Field(examples=["IntoWork API"])
    release: str = Field(examples=["v1.4.0"])
    documentation: str = Field(examples=["/docs"])
    jobs: str = Field(examples=["/api/jobs"])
    health: str = Field(examples=["/health"])


@router.get("/")
async def root(request: Request) -> FrontDoor:
    """What this is, which release of it, and where to go on."""
    settings: Settings = request.app.state.settings
    return FrontDoor(
        service="IntoWork API",
        release=settings.release_id,
        documentation="/docs",
        jobs="/api/jobs",
        health="/health",
    )
