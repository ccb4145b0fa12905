"""ASGI middleware that checks token, origin, host name and size of each request."""

from __future__ import annotations

import json
import math
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .token import Token

MAX_BODY_BYTES = 4096
"""Maximum size of a request's body."""
PUBLIC_PATHS = {
    "/healthz", "/login", "/login.js", "/theme.js", "/page.css", "/icon.svg", "/icon-192.png", "/icon-512.png",
    "/manifest.webmanifest", "/offline", "/offline.js", "/service-worker.js",
}  # fmt: skip
"""Paths that are served without a token: whether the run is healthy, the page that asks for the token, and what a
browser needs to install the page or to show that it is offline."""


class AccessMiddleware:
    """Reject requests that are not allowed before they reach the application.

    Args:
        token: required of every request except those to `PUBLIC_PATHS`; None on loopback.
        hosts: host names that requests may use for this server; protects against DNS rebinding, where another site's
            name resolves to this server. None allows any name, for servers that require a token.
    """

    def __init__(self, app: ASGIApp, token: Token | None, hosts: frozenset[str] | None) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request to the application; answer any other with an error."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        rejection = self._rejection(scope, headers)
        if rejection and rejection[0] == 401 and _is_browser(scope, headers):
            await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/login")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if rejection is None:
            receive, too_large = await _read_body(receive, headers)
            rejection = (413, "the request is too large") if too_large else None
        if rejection:
            await _send_error(send, *rejection)
        else:
            await self._app(scope, receive, send)

    def _rejection(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return status and reason to reject a request with, or None if it is allowed."""
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return 403, "requests may not use this host name"
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and origin and origin.partition("://")[2] != host:
            return 403, "requests from other sites are not allowed"
        if self._token and scope["path"] not in PUBLIC_PATHS:
            allowed, wait = self._token.authorises(headers, client_address(scope))
            if wait:
                return 429, too_many_failures(wait)
            if not allowed:
                return 401, "a token is required"
        return None


def client_address(scope: Scope) -> str:
    """Return the address that a request comes from."""
    return scope["client"][0] if scope.get("client") else "unknown"


def too_many_failures(wait: float) -> str:
    """Return the message for a client that must wait after many failed logins.

    The wait is in seconds.
    """
    return f"too many failed logins: try again in {math.ceil(wait)} s"


async def _read_body(receive: Receive, headers: Headers) -> tuple[Receive, bool]:
    """Read a request's body up to the limit.

    Return a `receive` that replays it, and whether it is too large.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return receive, True
    if length == "0" and "transfer-encoding" not in headers:
        return receive, False
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return receive, False  # the application sees the disconnect too and ignores the incomplete request
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return receive, True
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay, False


async def _send_error(send: Send, status: int, detail: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})


def _is_browser(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser requests the page.

    Its user can then be asked for the token.
    """
    return (
        scope["path"] in ("/", "/report")
        and "text/html" in headers.get("accept", "")
        and "authorization" not in headers
    )


def _host_name(host: str) -> str:
    """Return the name in a Host header, without port or brackets.

    An IPv6 address has brackets there.
    """
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
