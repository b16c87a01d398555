"""What every request passes through: headers of answers, known host names, and a limit of waiting requests."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MAX_WAITING_PAGES = 32
"""Requests for figures beyond these are answered with 503 and a time to try again, instead of queueing for minutes."""
RETRY_SECONDS = 2
"""When a request that found too many others waiting should try again."""


class KnownHosts(TrustedHostMiddleware):
    """Answers requests for known host names only: a foreign name that points here (DNS rebinding) gets nothing.

    The health probe of a container platform asks by address, and learns nothing but the age of the data.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it with 400."""
        if scope.get("path") == "/health":
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class BoundedQueue:
    """Limits the requests for figures that wait for a thread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 503 with ``Retry-After`` when too many wait."""
        if scope["type"] != "http" or scope["path"].startswith(_WITHOUT_FIGURES):
            await self._app(scope, receive, send)
        elif self._waiting >= MAX_WAITING_PAGES:
            busy = Response("busy: try again in a moment", 503, headers={"Retry-After": str(RETRY_SECONDS)})
            await busy(scope, receive, send)
        else:
            self._waiting += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._waiting -= 1


_WITHOUT_FIGURES = ("/health", "/levels.css", "/static/")


class Headers:
    """Adds the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
