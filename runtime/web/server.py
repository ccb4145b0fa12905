"""The HTTP server of the live page.

Its socket is bound before the run starts; a thread answers requests.
"""

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
from ..system.certificate import Certificate
from .address import parse_listen_address
from .pairing import lan_addresses, local_name

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS, CLOSE_SECONDS = 0.5, 1.0
"""How long open connections may take to end, and how long the server may take altogether."""
MIN_LOG_INTERVAL = 30.0
"""Seconds between two reported failures: a client must not be able to flood the terminal or the journal."""


def listen(address: str) -> socket.socket:
    """Bind ``[HOST:]PORT`` and listen; without a host, on loopback only.

    Port 0 takes a free one.

    Raises:
        UsageError: it is not such an address, or it cannot be bound.
    """
    host, port = parse_listen_address(address)
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(socket_address)
            bound.listen()  # clients that connect before the server has started wait
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise UsageError(f"--serve {address} cannot be listened on: {error.strerror or error}") from None
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Return whether only this computer can reach a socket."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def browser_urls(bound: socket.socket, scheme: str = "http") -> list[str]:
    """Return the URLs that other computers may reach a socket by, the best first.

    For a socket on all interfaces, those of this computer's addresses and of its ``.local`` name.
    """
    host, port = bound.getsockname()[:2]
    if not ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        return [browser_url(bound, scheme)]
    names = [*lan_addresses(), local_name()]
    return [f"{scheme}://{name}:{port}/" for name in names if name] or [browser_url(bound, scheme)]


def browser_url(bound: socket.socket, scheme: str = "http") -> str:
    """Return the URL to open in a browser.

    For a socket on all interfaces, with this computer's name.
    """
    host, port = bound.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


class _RateLimitedHandler(logging.Handler):
    """A log handler that reports the server's errors at a limited rate.

    Each takes one line, at most one per `MIN_LOG_INTERVAL`; those between are counted.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._report = report
        self._last = -MIN_LOG_INTERVAL
        self._suppressed = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last < MIN_LOG_INTERVAL:
            self._suppressed += 1
            return
        error = (record.exc_info[1] if record.exc_info else None) or ""
        more = f" ({self._suppressed} more since the last)" if self._suppressed else ""
        self._last, self._suppressed = now, 0
        self._report(f"live view: {record.getMessage().strip().splitlines()[0]} {error}".rstrip() + more)


class Server:
    """Serve an application on a socket from a daemon thread.

    Failures, and an end that was not asked for, are logged as warnings.

    Args:
        create_app: makes the application; called in the server's thread, so that the run does not wait for its imports.
        bound: the socket to serve on; closed at the end.
        certificate: for encrypted connections; None for plain ones.
    """

    def __init__(
        self, create_app: Callable[[], ASGIApp], bound: socket.socket, certificate: Certificate | None = None
    ) -> None:
        self._create_app, self._bound, self._certificate = create_app, bound, certificate
        self._closing = False
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, name="serve", daemon=True)
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether requests are being answered."""
        return self._server is not None and self._server.started

    def close(self) -> None:
        """Stop the server and close its connections."""
        self._closing = True
        if self._server:
            self._server.should_exit = True
        self._thread.join(CLOSE_SECONDS)
        self._bound.close()

    def _run(self) -> None:
        try:
            import uvicorn

            from .http_protocol import MAX_CONNECTIONS, SECURITY_HEADERS, TimeoutProtocol

            server_log = logging.getLogger("uvicorn.error")
            server_log.handlers, server_log.propagate = [_RateLimitedHandler(self._warn)], False
            self._server = uvicorn.Server(uvicorn.Config(
                self._create_app(), log_config=None, log_level="error", access_log=False, server_header=False,
                headers=list(SECURITY_HEADERS.items()), lifespan="off", ws="none", http=TimeoutProtocol,
                proxy_headers=False, backlog=MAX_CONNECTIONS, timeout_keep_alive=5,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,  # type: ignore[arg-type] # a float works too
                h11_max_incomplete_event_size=16384, ssl_certfile=self._certificate and self._certificate.path,
                ssl_keyfile=self._certificate and self._certificate.key,
            ))  # fmt: skip
            if not self._closing:
                asyncio.run(self._serve(self._server, server_log))
        finally:
            self._warn("the live view has ended; detection continues")

    async def _serve(self, server: uvicorn.Server, server_log: logging.Logger) -> None:
        """Answer requests until the end, and log failures outside of a request too.

        An example is a failure to accept a connection.
        """
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: server_log.error(context["message"], exc_info=context.get("exception"))
        )
        await server.serve(sockets=[self._bound])

    def _warn(self, message: str) -> None:
        """Log a failure, except at the run's end, which cuts off answers on purpose."""
        if not self._closing:
            logger.warning("%s", message)
