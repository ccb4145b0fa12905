"""The door: how many may stand in it, how long each is waited for, and the headers of every answer."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 32
"""Connections at once: open files are the run's too."""
PATIENCE = 10.0
"""Seconds in which a client must send a whole request, or take something of what it is sent."""
LOOK_SECONDS = 0.25
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
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
    """A connection, which is closed where its client keeps the server waiting for longer than `MAX_MISSED_FRAMES`.

    Where there are `MOST`, the one that has waited longest for its client makes room for a new one, so that silent
    ones shut nobody out.

    Attributes:
        since: from when on the client has been waited for, in seconds of the loop; while it is not, that is now.
    """

    since = 0.0
    _next_look: asyncio.TimerHandle | None = None

    @property
    def at_work(self) -> bool:
        """Whether a whole request is being answered: the client waits for the server, not the server for it."""
        return self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a client in, instead of the one that has been waited for longest where there are too many."""
        self.since = self.loop.time()
        full = len(self.connections) >= MOST
        super().connection_made(transport)
        if full:
            self.logger.error("there are more than %d connections: those that ask for nothing are closed", MOST)
            others = [
                one
                for one in self.connections
                if isinstance(one, TimeoutProtocol) and not one.at_work and one is not self
            ]
            gone = min(others, key=lambda one: one.since, default=self)
            self.connections.discard(gone)  # at once: the next client may be let in before it is lost
            gone.transport.abort()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._next_look:
            self._next_look.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client has taken something."""
        self.since = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the headers of every answer; where an answer has begun, hang up."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close", **HEADERS}
        answer = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        for event in (answer, h11.Data(data=msg.encode("ascii")), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _look(self) -> None:
        """See every moment who waits for whom, and hang up when the client was waited for too long."""
        now = self.loop.time()
        if self.at_work and not self.flow.write_paused and not self.transport.is_closing():
            self.since = now
        if now - self.since > PATIENCE:
            self.transport.abort()  # not close: that would wait until what was sent is taken
        else:
            self._next_look = self.loop.call_later(LOOK_SECONDS, self._look)
