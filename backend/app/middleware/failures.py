"""What nobody has foreseen: 500 for the client, the place in the code for the log."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem_response

logger = logging.getLogger("intowork")

DETAIL = (
    "Something is wrong in the service; the request was not finished. Name the request_id when you tell us."
)


class Failures:
    """Answers every error that got this far, and logs it once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            logger.exception("unhandled %s", type(error).__name__)
            # An answer that is under way is left as it is: the server closes the connection, so that it
            # cannot pass for a whole one.
            if not started:
                await problem_response(Request(scope), 500, DETAIL)(scope, receive, send)
