"""One name for a request, in its answer, in the log and in the audit trail."""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.logs import request_id

WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Takes the X-Request-ID that the proxy gave, or makes one; `scope["request_id"]` has it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = _given(scope) or secrets.token_hex(16)
        scope["request_id"] = name
        request_id.set(name)
        header = (b"x-request-id", name.encode("ascii"))

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, with_id)


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            # One that is not well-formed could write lines of its own into a log.
            return value.decode("ascii") if WELL_FORMED.fullmatch(value) else None
    return None
