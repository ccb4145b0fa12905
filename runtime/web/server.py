"""The server: a socket that is bound before the run begins, and a thread that answers."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import UsageError
from .address import parse_listen_address

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

PARTING_SECONDS, CLOSE_SECONDS = 0.5, 1.0
"""How long viewers may take to go, and how long the server may."""
QUIET_SECONDS = 30.0
"""Between two lines of what fails: a client must not fill the screen or the journal."""


def listen(where: str) -> socket.socket:
    """Bind ``[HOST:]PORT``; without a host, to loopback only. Port 0 takes a free one.

    Raises:
        UsageError: it is no such address, or cannot be bound.
    """
    host, port = parse_listen_address(where)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()  # who asks before the server answers waits
        except OSError:
            bound.close()
            raise
    except OSError as problem:
        raise UsageError(f"--serve {where} cannot be listened on: {problem.strerror or problem}") from None
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Tell whether only this computer can reach a socket."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def browser_url(bound: socket.socket) -> str:
    """Write a socket's address for a browser; of one on every interface, with this computer's name."""
    host, port = bound.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class _Told(logging.Handler):
    """Tells of what fails in an answer in a line, and of what follows soon after only how much it was."""

    def __init__(self, alert: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._alert = alert
        self._last = -QUIET_SECONDS
        self._untold = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last < QUIET_SECONDS:
            self._untold += 1
            return
        problem = (record.exc_info[1] if record.exc_info else None) or ""
        more = f" ({self._untold} more since the last)" if self._untold else ""
        self._last, self._untold = now, 0
        self._alert(f"live view: {record.getMessage().strip().splitlines()[0]} {problem}".rstrip() + more)


class Server:
    """Answers on a socket from a thread of its own, which dies with the process.

    Args:
        make: makes the application; called in that thread, so that the run need not wait for its imports.
        alert: told if it ends by itself.
    """

    def __init__(self, make: Callable[[], ASGIApp], bound: socket.socket, alert: Callable[[str], None]) -> None:
        self._make, self._bound, self._alert = make, bound, alert
        self._closing = False
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._serve, name="serve", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End: viewers are let go."""
        self._closing = True
        if self._server:
            self._server.should_exit = True
        self._thread.join(CLOSE_SECONDS)
        self._bound.close()

    def _serve(self) -> None:
        try:
            import uvicorn

            from .http_protocol import MAX_CONNECTIONS, SECURITY_HEADERS, TimeoutProtocol

            log = logging.getLogger("uvicorn.error")
            log.handlers, log.propagate = [_Told(self._tell)], False
            self._server = uvicorn.Server(uvicorn.Config(
                self._make(), log_config=None, log_level="error", access_log=False, server_header=False,
                headers=list(SECURITY_HEADERS.items()), lifespan="off", ws="none", http=TimeoutProtocol,
                proxy_headers=False, backlog=MAX_CONNECTIONS,
                timeout_keep_alive=5, timeout_graceful_shutdown=PARTING_SECONDS,  # type: ignore[arg-type] # a float too
                h11_max_incomplete_event_size=16384,
            ))  # fmt: skip
            if not self._closing:
                asyncio.run(self._answer(self._server, log))
        finally:
            self._tell("the live view has ended; detection goes on")

    async def _answer(self, server: uvicorn.Server, log: logging.Logger) -> None:
        """Answer until the end; what fails outside an answer, as where files run out, is told like the rest."""
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: log.error(context["message"], exc_info=context.get("exception"))
        )
        await server.serve(sockets=[self._bound])

    def _tell(self, line: str) -> None:
        """Tell of what goes wrong; at the end, answers are cut off on purpose."""
        if not self._closing:
            self._alert(line)
