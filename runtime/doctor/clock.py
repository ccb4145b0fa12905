"""Check the clock: times of events are wrong if it is."""

from __future__ import annotations

import ctypes
import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .result import CheckResult

UNSYNCHRONISED = 0x40
"""STA_UNSYNC of adjtimex."""
_STATUS_OFFSET, _BUFFER = 40, 512
"""Position of `status` in `struct timex` of 64-bit Linux, and more bytes than it has."""


def check_clock(newest: str, root: Path = Path("/"), now: datetime.datetime | None = None) -> Iterator[CheckResult]:
    """Check the date, its synchronisation, the battery clock, and the time zone.

    Args:
        newest: when the newest installed bundle was made, UTC in ISO format; "" if it is not known.
        root: folder that holds ``sys`` and ``etc``.
        now: the time; None for the clock's.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    text = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if newest and text < newest:
        detail = f"{text} is before the installed bundles were made, {newest}"
        hint = f"sudo date --utc --set {newest}, or connect the device to the network"
        yield CheckResult("clock.date", "fail", detail, hint, exercised=True)
    else:
        yield CheckResult("clock.date", "ok", text, exercised=True)
    status = kernel_clock_status()
    if status is None:
        yield CheckResult("clock.synchronised", "skipped", "the kernel does not report it")
    elif status & UNSYNCHRONISED:
        detail, hint = "the clock is not synchronised", "sudo timedatectl set-ntp true"
        yield CheckResult("clock.synchronised", "warn", detail, hint, exercised=True)
    else:
        yield CheckResult("clock.synchronised", "ok", "the clock is synchronised", exercised=True)
    has_battery = any((root / "sys/class/rtc").glob("rtc*"))
    detail = (
        "there is a battery clock" if has_battery else "no battery clock: after a power cut the network sets the time"
    )
    yield CheckResult("clock.battery", "ok" if has_battery else "warn", detail)
    zone = os.environ.get("TZ") or _zone(root / "etc/localtime") or time.tzname[0]
    yield CheckResult("clock.zone", "ok", f"{zone}; events are stored in UTC")


def kernel_clock_status() -> int | None:
    """Return the status bits of the kernel's clock; None if it does not give them."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    buffer = ctypes.create_string_buffer(_BUFFER)  # modes 0: read only
    if adjtimex(buffer) < 0:
        return None
    return ctypes.c_int.from_buffer(buffer, _STATUS_OFFSET).value


def _zone(link: Path) -> str:
    _, _, zone = str(link.resolve()).partition("/zoneinfo/")
    return zone
