"""A line in the log and figures for Prometheus, for each request."""

from __future__ import annotations

import logging
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics

logger = logging.getLogger("intowork.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked for every second by proxies and collectors.
QUIET = ("/health", "/metrics")
NO_ROUTE = "(none)"
# nginx's word for a client that left before it was answered.
CLIENT_LEFT = 499


class Access:
    """Logs and counts by the route's template: a path may name a person, and there is no end of them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, sent = CLIENT_LEFT, 0
        began = perf_counter()
        ended = None

        async def counted(message: Message) -> None:
            nonlocal status, sent, ended
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                # What the route does once it has answered is not waited for by the client.
                if not message.get("more_body", False):
                    ended = perf_counter()
            await send(message)

        metrics.IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, counted)
        finally:
            metrics.IN_PROGRESS.dec()
            seconds = (ended or perf_counter()) - began
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            metrics.count_request(method, route, status, seconds)
            level = logging.DEBUG if route.startswith(QUIET) else logging.INFO
            if logger.isEnabledFor(level):
                fields = {
                    "method": method,
                    "route": route,
                    "status": status,
                    "milliseconds": round(seconds * 1000, 1),
                    "bytes": sent,
                }
                logs.write(logging.getLevelName(level).lower(), logger.name, "request", fields)
