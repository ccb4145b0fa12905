"""What a service manager is told: that the run is ready, that frames go on, that it ends (systemd's sd_notify)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class SystemdNotifier:
    """Talks to systemd where it started this process (``Type=notify``, ``WatchdogSec=``); elsewhere it says nothing.

    Only a frame that was looked at and written counts as a sign of life: a run that hangs is started anew, even where
    nothing of it crashed. A manager that does not listen is told of once; the run goes on.

    Args:
        alert: told what is wrong with what the manager gave.
        environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read.
    """

    def __init__(self, alert: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> None:
        self._alert, self._deaf = alert, False
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._ready = False
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = environment.get("WATCHDOG_USEC", "0") if watched else "0"
        if not limit.isdecimal():
            alert(f"WATCHDOG_USEC={limit} is no number of microseconds: there are no signs of life")
            limit = "0"
        self._every = int(limit) / 4e6
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
            if not self._deaf:
                self._deaf = True
                reason = problem.strerror or problem
                self._alert(f"the service manager at {self._address} does not listen: {reason}; the run goes on")
