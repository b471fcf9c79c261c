"""How large a request's body may be, whichever route it is for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem_response


class BodyLimit:
    """413 for a body of more than `most` bytes, as soon as that is known."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # The server refuses a length that is no number, and bodies that are longer than they said.
        if int(headers.get(b"content-length", 0)) > self.most:
            await self._refuse(scope, receive, send)
        elif b"transfer-encoding" in headers:
            await self._read_first(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _read_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a body that does not tell its length before the route runs: not every route would."""
        parts: list[bytes] = []
        left, more = self.most, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            left -= len(parts[-1])
            more = message.get("more_body", False)
            if left < 0:
                await self._refuse(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = problem_response(
            Request(scope),
            413,
            f"The body is larger than {self.most} bytes; send less, or a link to it.",
            # The rest of the body is not waited for.
            headers={"Connection": "close"},
        )
        await answer(scope, receive, send)
