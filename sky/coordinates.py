"""Positions and angles as users write them."""

from __future__ import annotations

import re

from ..errors import UsageError

_MINUTE, _SECOND = 1 / 60, 1 / 3600
_UNITS = {
    "d": 1.0, "deg": 1.0, "m": _MINUTE, "arcmin": _MINUTE, "'": _MINUTE, "s": _SECOND, "arcsec": _SECOND, "\"": _SECOND,
}  # fmt: skip
_SEXAGESIMAL = (
    r"(?P<h>\d{1,2})(?:h|:|\s)\s*(?P<m>\d{1,2})(?:m|:|\s)\s*(?P<s>\d{1,2}(?:\.\d*)?)s?[\s,]+"
    r"(?P<sign>[+-]?)(?P<d>\d{1,2})(?:d|°|:|\s)\s*(?P<am>\d{1,2})(?:m|'|:|\s)\s*(?P<as>\d{1,2}(?:\.\d*)?)(?:s|\")?"
)


def parse_angle(text: str) -> float:
    """Return an angle in degrees: ``10m`` and ``30s`` of arc, ``1.5d``.

    Raises:
        UsageError: it has no unit, or is not an angle from 0 to 180 degrees.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z'\"]+)\s*", text)
    if not match or match[2] not in _UNITS:
        raise UsageError(f"'{text}' is not an angle: give it a unit, e.g. 30s, 10m (arcminutes) or 1.5d (degrees)")
    degrees = float(match[1]) * _UNITS[match[2]]
    if degrees > 180.0:
        raise UsageError(f"'{text}' is more than 180 degrees")
    return degrees


def parse_position(text: str) -> tuple[float, float] | None:
    """Return right ascension and declination in degrees; None for other text.

    ``192.72 41.12`` in degrees, ``12h50m53s +41d07m13s``, or ``12:50:53 +41:07:13`` with hours of right ascension.

    Raises:
        UsageError: it is a position outside the sky.
    """
    degrees = re.fullmatch(r"\s*(\d+(?:\.\d*)?)d?[\s,]+([+-]?\d+(?:\.\d*)?)d?\s*", text)
    if degrees:
        ra, dec = float(degrees[1]), float(degrees[2])
    else:
        match = re.fullmatch(rf"\s*{_SEXAGESIMAL}\s*", text)
        if not match:
            return None
        ra = 15.0 * (int(match["h"]) + int(match["m"]) / 60 + float(match["s"]) / 3600)
        dec = int(match["d"]) + int(match["am"]) / 60 + float(match["as"]) / 3600
        dec = -dec if match["sign"] == "-" else dec
    if not (0.0 <= ra <= 360.0 and abs(dec) <= 90.0):
        raise UsageError(f"'{text}' is not on the sky: right ascension is 0 to 360 degrees, declination -90 to 90")
    return ra % 360.0, dec


def ra_text(ra: float) -> str:
    """Write a right ascension as ``12h50m53.1s``."""
    tenths = round(ra % 360.0 / 15.0 * 36_000) % 864_000
    return f"{tenths // 36_000:02d}h{tenths // 600 % 60:02d}m{tenths % 600 / 10:04.1f}s"
