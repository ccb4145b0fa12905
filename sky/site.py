"""Where a telescope stands, by the keywords of its FITS headers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_PAIRS = (
    ("SITELAT", "SITELONG"), ("LAT-OBS", "LONG-OBS"), ("OBSGEO-B", "OBSGEO-L"), ("OBSLAT", "OBSLONG"),
    ("OBSLAT", "OBSLON"), ("LATITUDE", "LONGITUD"), ("GEOLAT", "GEOLON"), ("SITELAT", "SITELON"),
)  # fmt: skip
"""Keywords of latitude and longitude, north and east positive, the commonest first."""
_AXIS, _FLATTENING = 6_378_137.0, 1 / 298.257223563
"""Of the ellipsoid WGS 84, in metres."""


def site_of(header: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return latitude and longitude in degrees, north and east positive.

    None where a header says nothing, nothing that can be, or 0, 0, which programs write that do not know it.

    Args:
        header: FITS keywords in capitals.
    """
    for names in _PAIRS:
        latitude, longitude = (_angle(header.get(name)) for name in names)
        if latitude is None or longitude is None or not (latitude or longitude):
            continue
        if abs(latitude) <= 90 and -180 <= longitude <= 360:
            return round(latitude, 6), round(longitude - 360.0 if longitude > 180 else longitude, 6)
    return _geocentric([_angle(header.get(f"OBSGEO-{axis}")) for axis in "XYZ"])


def _geocentric(axes: list[float | None]) -> tuple[float, float] | None:
    """Return latitude and longitude of geocentric metres (ITRF)."""
    x, y, z = (math.nan if value is None else value for value in axes)
    across = math.hypot(x, y)
    if not 6.3e6 < math.hypot(across, z) < 6.4e6:  # NaN, and spacecraft
        return None
    square = _FLATTENING * (2 - _FLATTENING)
    latitude = math.atan2(z, across * (1 - square))
    for _ in range(3):  # the height changes it by a few arcseconds at most
        radius = _AXIS / math.sqrt(1 - square * math.sin(latitude) ** 2)
        latitude = math.atan2(z + square * radius * math.sin(latitude), across)
    return round(math.degrees(latitude), 6), round(math.degrees(math.atan2(y, x)), 6)


def _angle(value: Any) -> float | None:
    """Return the degrees of a number, ``-122 30 15`` or ``16d22m12s E``."""
    text = str(value if value is not None else "").strip().upper()
    side = text[-1:] if re.search(r"[NEW]$|\sS$", text) else ""  # an S without a space may be of seconds
    text = text.removesuffix(side).strip()
    match = re.fullmatch(r"([+-]?)([\d.]+)(?:[\s:D°]+([\d.]+))?(?:[\s:M'′]+([\d.]+))?[\s:SMD\"″'′°]*", text)
    try:
        number = float(text)
    except ValueError:
        if match is None:
            return None
        sign, *parts = match.groups()
        try:
            degrees, minutes, seconds = (float(part or 0) for part in parts)
        except ValueError:
            return None
        number = degrees + minutes / 60 + seconds / 3600
        number *= -1 if sign == "-" else 1
    number *= -1 if side in ("S", "W") else 1
    return number if math.isfinite(number) else None
