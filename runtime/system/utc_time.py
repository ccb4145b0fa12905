"""Times as text: UTC, ISO 8601, ending in ``Z``."""

from __future__ import annotations

import datetime


def utc_text(time: datetime.datetime, timespec: str = "milliseconds") -> str:
    """Write a UTC time as ISO 8601, e.g. ``2026-11-22T21:00:00.000Z``; `timespec` as in `datetime.isoformat`."""
    return time.isoformat(timespec=timespec).replace("+00:00", "Z")


def utc_now(timespec: str = "milliseconds") -> str:
    """Return the current time as `utc_text`."""
    return utc_text(datetime.datetime.now(datetime.UTC), timespec)


def file_stamp(time: datetime.datetime | None = None) -> str:
    """Return a UTC time, by default now, as a part of a file name, e.g. ``20261122T210000Z``."""
    return f"{time or datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"
