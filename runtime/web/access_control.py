"""Who may ask, and for how much: token, origin, host, request size."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .token import Token

MAX_BODY_BYTES = 4096
"""Of a request's body."""
PUBLIC_PATHS = {"/healthz", "/login", "/login.js", "/page.css", "/icon.svg"}
"""What is told without a token: whether the run is healthy, and the page that asks for the token."""


class AccessMiddleware:
    """Stands before the application.

    Args:
        token: demanded of every request but those to `PUBLIC_PATHS`; None on loopback.
        hosts: names that a request may use for this server, against pages elsewhere that give themselves its address;
            None takes any, where a token is demanded.
    """

    def __init__(self, app: ASGIApp, token: Token | None, hosts: frozenset[str] | None) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refused = self._refuse(scope, headers)
        if refused and refused[0] == 401 and _is_browser(scope, headers):
            await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/login")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if refused is None:
            receive, large = await _limited(receive, headers)
            refused = (413, "the request is too large") if large else None
        if refused:
            await _answer(send, *refused)
        else:
            await self._app(scope, receive, send)

    def _refuse(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 403, "this server does not go by that name"
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and origin and urlsplit(origin).netloc != host:
            return 403, "another page may not ask for that"
        if self._token and scope["path"] not in PUBLIC_PATHS and not self._token.allows(headers):
            return 401, "a token is wanted"
        return None


async def _limited(receive: Receive, headers: Headers) -> tuple[Receive, bool]:
    """Read a request's body up to the limit; return a `receive` that gives it, and whether it is too large."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return receive, True
    if length == "0" and "transfer-encoding" not in headers:
        return receive, False
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return receive, False  # who would be answered is gone, and gets nothing done with half a request
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return receive, True
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay, False


async def _answer(send: Send, status: int, detail: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})


def _is_browser(scope: Scope, headers: Headers) -> bool:
    """Tell whether a person asks for the page, who can be asked for the token."""
    return scope["path"] == "/" and "text/html" in headers.get("accept", "") and "authorization" not in headers


def _name(host: str) -> str:
    """Take the name out of a Host header: without port, and an IPv6 address without brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
