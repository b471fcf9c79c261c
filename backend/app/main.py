"""The ASGI application: `uvicorn app.main:app`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import async_sessionmaker

from app.api import ROUTERS
from app.api.health import RETRY_AFTER_SECONDS
from app.database import SilentDatabaseError, connection_parameters, make_engine
from app.health import DatabaseProbe, Drain
from app.settings import Settings, settings

logger = logging.getLogger("intowork")


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    """503 for a database that is away or overloaded, 504 for a statement beyond its role's time."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    logger.warning("database unavailable: %s", type(cause).__name__)
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return JSONResponse({"detail": "This took too long; use more filters."}, status_code=504)
    return JSONResponse(
        {"detail": "The database does not answer at the moment; try again shortly."},
        status_code=503,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """422 with what is wrong where. What was sent is not sent back: it may be personal, or no text."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    shown = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in problems]
    return JSONResponse({"detail": shown}, status_code=422)


def create_app(configuration: Settings) -> FastAPI:
    """The application for one configuration. It starts without a database, and connects when it is asked."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = make_engine(configuration)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.probe = DatabaseProbe(
            {
                **connection_parameters(configuration.url),
                "connect_timeout": configuration.database_connect_timeout,
                "application_name": "intowork-health",
            }
        )
        app.state.drain = Drain(configuration.drain_seconds)
        app.state.drain.listen()
        yield
        await app.state.probe.close()
        await engine.dispose()

    app = FastAPI(title="IntoWork API", version=configuration.release_id, lifespan=lifespan)
    app.state.settings = configuration
    if configuration.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(configuration.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            allow_credentials=True,
        )
    for away in (OperationalError, InterfaceError, PoolTimeoutError, SilentDatabaseError):
        app.add_exception_handler(away, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    for router in ROUTERS:
        app.include_router(router)
    return app


app = create_app(settings())
