"""Headers that tell a browser what it may do with an answer: as good as nothing."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": (
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(),"
        " payment=(), usb=()"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    # Of embedding without CORS only; origins that are listed ask with CORS.
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers are somebody's own, or soon out of date; a route that may be kept says so itself.
    "Cache-Control": "no-store",
}
# A year. Browsers heed it only on a connection whose certificate they trust.
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}


class SecurityHeaders:
    """Adds `HEADERS` to every answer that does not bring its own."""

    def __init__(self, app: ASGIApp, *, strict_transport: bool) -> None:
        self.app = app
        headers = HEADERS | STRICT_TRANSPORT if strict_transport else HEADERS
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in self.headers if header[0] not in names]
            await send(message)

        await self.app(scope, receive, with_headers)
