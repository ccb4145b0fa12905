"""What a service manager is told: that the run is ready, that frames go on, that it ends (systemd's sd_notify)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from .errors import RunFailure


class ServiceManager:
    """Talks to systemd where it started this process (``Type=notify``, ``WatchdogSec=``); elsewhere it says nothing.

    Only a frame that was looked at and written counts as a sign of life: a run that hangs is started anew, even where
    nothing of it crashed.

    Args:
        environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._ready = False
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = float(environment.get("WATCHDOG_USEC", 0)) / 1e6 if watched else 0.0
        self._every = limit / 4
        self._told = 0.0

    def frame_done(self) -> None:
        """Say that a frame was looked at and written: ready at the first, alive now and then after it."""
        if not self._address:
            return
        now = time.monotonic()
        if not self._ready:
            self._ready, self._told = True, now
            self._say("READY=1\nWATCHDOG=1")
        elif self._every and now - self._told >= self._every:
            self._told = now
            self._say("WATCHDOG=1")

    def ends(self) -> None:
        """Say that the run ends."""
        if self._address:
            self._say("STOPPING=1")

    def _say(self, message: str) -> None:
        # A leading @ stands for the zero byte of Linux's abstract names.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.sendto(message.encode(), address)
        except OSError as problem:
            raise RunFailure(f"the service manager at {self._address} does not listen: {problem.strerror}") from None
