"""Notify systemd of the run's state: ready, alive, stopping (sd_notify)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

EXTEND_SECONDS = 60
"""Time by which the time limit of the start is extended repeatedly while the run waits for its source."""

logger = logging.getLogger(__name__)


class SystemdNotifier:
    """A notifier for systemd (``Type=notify``, ``WatchdogSec=``), if it runs here.

    It does nothing where systemd did not start this process.

    Only a frame that was processed, while the disk responds, counts as a sign of life: a run that hangs is restarted,
    even if no part of it crashed. A manager that does not listen is logged once as a warning; the run continues.

    Args:
        environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._has_failed = False
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._is_ready = False
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = environment.get("WATCHDOG_USEC", "0") if watched else "0"
        if not limit.isdecimal():
            logger.warning("WATCHDOG_USEC=%s is not a number of microseconds: the watchdog is not notified", limit)
            limit = "0"
        self._interval = int(limit) / 4e6
        self._last_sent = time.monotonic()

    def frame_done(self) -> None:
        """Report a frame as processed and written: ready at first, then alive at times."""
        if not self._address:
            return
        now = time.monotonic()
        if not self._is_ready:
            self._is_ready, self._last_sent = True, now
            self._send("READY=1\nWATCHDOG=1")
        elif self._interval and now - self._last_sent >= self._interval:
            self._last_sent = now
            self._send("WATCHDOG=1")

    def waiting(self, source: str) -> None:
        """Report that the run waits for its source.

        Until the first frame, this extends the time limit of the start.
        """
        now = time.monotonic()
        if source and self._address and not self._is_ready and now - self._last_sent >= EXTEND_SECONDS / 3:
            self._last_sent = now
            self._send(f"EXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 10**6}\nSTATUS=waiting for {source}")

    def stopping(self) -> None:
        """Report that the run ends."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        import socket  # most runs have no service manager

        # A leading @ stands for the zero byte of Linux's abstract names.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.sendto(message.encode(), address)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                reason = error.strerror or error
                logger.warning(
                    "the service manager at %s does not listen: %s; the run continues", self._address, reason
                )
