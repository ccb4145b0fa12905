"""Failed logins: counted, logged, and each makes its client wait longer."""

from __future__ import annotations

import ipaddress
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

FREE_FAILURES = 3
"""Number of failures of a client without a wait, since a mistyped token is not an attack."""
MAX_WAIT = 300.0
FORGET_SECONDS = 3600.0
MAX_CLIENTS = 1024
LOG_INTERVAL = 30.0

logger = logging.getLogger(__name__)


class FailedLogins:
    """Counts failed logins by client.

    The wait starts at a second and doubles; until it is over, no token is checked.

    A client is an IPv4 address, or a /64 network of IPv6, which one computer can have all addresses of.

    Args:
        clock: returns monotonic seconds.

    Attributes:
        count: failed logins since the start, those during a wait included.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock, self._lock = clock, threading.Lock()
        self._clients: OrderedDict[str, tuple[int, float]] = OrderedDict()  # failures, time of the last
        self._logged_at = -math.inf

    def wait(self, client: str) -> float:
        """Return the seconds for which a client must wait before its next attempt.

        0 if it does not have to.
        """
        failures, last = self._clients.get(_network(client), (0, 0.0))
        if failures <= FREE_FAILURES:
            return 0.0
        return max(0.0, last + min(2.0 ** (failures - FREE_FAILURES - 1), MAX_WAIT) - self._clock())

    def record(self, client: str) -> None:
        """Count a wrong token, or an attempt during a wait.

        The latter does not make the wait longer.
        """
        waits = self.wait(client) > 0
        with self._lock:
            self.count += 1
            now, network = self._clock(), _network(client)
            failures, last = self._clients.pop(network, (0, now))
            failures = 0 if now - last > FORGET_SECONDS else failures
            self._clients[network] = (failures, last) if waits else (failures + 1, now)
            while len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
            due = now - self._logged_at >= LOG_INTERVAL
            if due:
                self._logged_at = now
        if due:
            logger.warning("live view: failed login from %s (%d since the start)", client, self.count)

    def forget(self, client: str) -> None:
        """Forget the failures of a client that has logged in."""
        with self._lock:
            self._clients.pop(_network(client), None)


def _network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
