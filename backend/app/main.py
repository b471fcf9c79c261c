"""The ASGI application: `uvicorn app.main:app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import async_sessionmaker

from app import logs, metrics
from app.api import ROUTERS
from app.database import connection_parameters, make_engine
from app.errors import handle_errors
from app.health import DatabaseProbe, Drain
from app.mail import Mailer
from app.middleware import surround
from app.openapi import describe
from app.pool_statistics import PoolStatistics
from app.settings import Settings, settings
from app.views import ViewCounter


def create_app(configuration: Settings) -> FastAPI:
    """The application for one configuration. It starts without a database, and connects when it is asked."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.watch_loop()
        engine = make_engine(configuration)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.pool = PoolStatistics(engine, configuration.database_max_overflow)
        app.state.probe = DatabaseProbe(
            {
                **connection_parameters(configuration.url),
                "connect_timeout": configuration.database_connect_timeout,
                "application_name": "intowork-health",
            }
        )
        app.state.views = ViewCounter(app.state.sessions, configuration.views_flush_seconds)
        app.state.views.start()
        app.state.mailer = Mailer(configuration.mail_url.get_secret_value(), configuration.mail_from)
        app.state.drain = Drain(configuration.drain_seconds)
        app.state.drain.listen()
        _prepare_routes(app)
        metrics.RELEASE.labels(configuration.release_id, configuration.environment).set(1)
        yield
        await app.state.views.close()
        await app.state.probe.close()
        await engine.dispose()

    # The routes /docs and /openapi.json are ours (app/api/docs.py). A path with a slash too many is not
    # redirected: the address would be made of the header Host, which anyone may write.
    app = FastAPI(
        title="IntoWork API",
        version=configuration.release_id,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        # FastAPI asks OpenTelemetry at each request whether somebody listens: microseconds for nobody.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = configuration
    surround(app, configuration)
    handle_errors(app)
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    return app


def _prepare_routes(app: FastAPI) -> None:
    """FastAPI makes a router's handlers for the first request that gets that far: 0.2 s, better spent now."""
    nowhere = {"type": "http", "method": "GET", "path": "/nowhere", "headers": []}
    for route in app.router.routes:
        route.matches(dict(nowhere))


logs.configure(settings().log_level)
app = create_app(settings())
