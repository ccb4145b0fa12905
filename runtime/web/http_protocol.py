"""uvicorn's HTTP/1.1 protocol with limits, time-outs and security headers.

Connections are limited, and slow clients time out.

It uses attributes of uvicorn that are not documented (`cycle`, `connections`, `flow`, `conn`). pyproject.toml therefore
bounds uvicorn's version, and a contract test names the attribute that changed.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 32
"""Connections at once; each takes an open file, which the run needs too."""
CLIENT_TIMEOUT = 10.0
"""Seconds in which a client must complete its request, or read some of the answer."""
CHECK_INTERVAL = 0.25
"""Seconds between two checks of the time-out."""
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class TimeoutProtocol(H11Protocol):
    """A connection that closes when its client makes the server wait too long.

    The limit is `CLIENT_TIMEOUT`.

    Beyond `MAX_CONNECTIONS`, the connection that has waited longest for its client is closed, so that silent clients
    cannot lock out others.

    Attributes:
        waiting_since: time of the event loop, in seconds, since when the server has waited for this client. While the
            client waits for the server, it is the time of the last check.
    """

    waiting_since = 0.0
    _next_check: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Return whether a complete request is being answered.

        The client then waits for the server, not the server for it.
        """
        return self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; beyond the limit, close another.

        It is the one that has waited longest for its client.
        """
        self.waiting_since = self.loop.time()
        full = len(self.connections) >= MAX_CONNECTIONS
        super().connection_made(transport)
        if full:
            self.logger.error("there are more than %d connections: the idle ones are closed", MAX_CONNECTIONS)
            candidates = [
                connection
                for connection in self.connections
                if isinstance(connection, TimeoutProtocol) and not connection.is_answering and connection is not self
            ]
            closed = min(candidates, key=lambda connection: connection.waiting_since, default=self)
            # Removed at once: the next client may be accepted before uvicorn notices that this one is closed.
            self.connections.discard(closed)
            closed.transport.abort()
        self._check_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the checks."""
        if self._next_check:
            self._next_check.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Restart the time-out: the client has read something."""
        self.waiting_since = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer an invalid request, with the security headers.

        If an answer has been started, close instead.
        """
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close", **SECURITY_HEADERS}
        response = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        for event in (response, h11.Data(data=msg.encode("ascii")), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _check_timeout(self) -> None:
        """Close the connection if its client has timed out.

        Otherwise schedule the next check.
        """
        now = self.loop.time()
        if self.is_answering and not self.flow.write_paused and not self.transport.is_closing():
            self.waiting_since = now
        if now - self.waiting_since > CLIENT_TIMEOUT:
            self.transport.abort()  # close() would wait until the client has read what was sent
        else:
            self._next_check = self.loop.call_later(CHECK_INTERVAL, self._check_timeout)
