"""Times as text: UTC, ISO 8601, ending in ``Z``.

And whether the clock that they are of was set.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

MIN_STEP = 2.0
"""Minimum step in seconds; smaller differences are drift, or a clock that is adjusted gradually."""
MAX_FRAME_AGE = 60.0
"""Seconds that a live frame may take to its last stage."""


def utc_text(time: datetime.datetime, timespec: str = "milliseconds") -> str:
    """Write a UTC time as ISO 8601, e.g. ``2026-11-22T21:00:00.000Z``.

    `timespec` is that of `datetime.isoformat`.
    """
    return time.isoformat(timespec=timespec).replace("+00:00", "Z")


def utc_now(timespec: str = "milliseconds") -> str:
    """Return the current time as `utc_text`."""
    return utc_text(datetime.datetime.now(datetime.UTC), timespec)


def move_utc_text(text: str, seconds: float) -> str:
    """Move a time that `utc_text` wrote.

    One that cannot be read, or would be in no year, stays.
    """
    try:
        return utc_text(datetime.datetime.fromisoformat(text) + datetime.timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return text


def file_stamp(time: datetime.datetime | None = None) -> str:
    """Return a UTC time for a file name, e.g. ``20261122T210000Z``.

    By default it is the present time.
    """
    return f"{time or datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"


def _seconds_since_boot() -> float:
    """Return the seconds since boot, including suspension; they cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockSteps:
    """Compares the wall clock with one that cannot be set.

    Args:
        wall, steady: clocks in seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _seconds_since_boot
    ) -> None:
        self._wall, self._steady = wall, steady
        self._difference = wall() - steady()
        self._last_step = 0.0

    def step(self) -> float:
        """Return the seconds by which the clock was set since the last call, or 0."""
        difference = self._wall() - self._steady()
        change, self._difference = difference - self._difference, difference
        if abs(change) < MIN_STEP:
            return 0.0
        self._last_step = change
        return change

    def corrected(self, time: datetime.datetime) -> datetime.datetime:
        """Return a live frame's time, corrected if the clock was set after its reading.

        It is corrected if the last step was between its reading and its processing.
        """
        age = self._wall() - time.timestamp()
        if self._last_step and abs(age) > MAX_FRAME_AGE >= abs(age - self._last_step):
            return time + datetime.timedelta(seconds=self._last_step)
        return time
