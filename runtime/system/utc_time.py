"""Times as text: UTC, ISO 8601, ending in ``Z``; and whether the clock that they are of was set."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

MIN_STEP = 2.0
"""Seconds; what is less is drift, or a clock that is slowed down or sped up."""


def utc_text(time: datetime.datetime, timespec: str = "milliseconds") -> str:
    """Write a UTC time as ISO 8601, e.g. ``2026-11-22T21:00:00.000Z``; `timespec` as in `datetime.isoformat`."""
    return time.isoformat(timespec=timespec).replace("+00:00", "Z")


def utc_now(timespec: str = "milliseconds") -> str:
    """Return the current time as `utc_text`."""
    return utc_text(datetime.datetime.now(datetime.UTC), timespec)


def file_stamp(time: datetime.datetime | None = None) -> str:
    """Return a UTC time, by default now, as a part of a file name, e.g. ``20261122T210000Z``."""
    return f"{time or datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"


def _seconds_since_boot() -> float:
    """Return seconds that no one can set, in which a suspended machine goes on counting."""
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

    def step(self) -> float:
        """Return the seconds by which the clock was set since the last call, 0 if it was not."""
        difference = self._wall() - self._steady()
        change, self._difference = difference - self._difference, difference
        return change if abs(change) >= MIN_STEP else 0.0
