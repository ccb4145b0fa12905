"""What is known about a frame's position and scale before it is solved."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from .wcs import Wcs

RADIUS, WIDE_RADIUS = 3.0, 15.0
"""Degrees around the position of a header that are searched, first and then."""
TOLERANCE = 0.1
"""Share by which a scale may be off: reducers and focus change the focal length."""
WIDEST, NARROWEST = 100.0, 0.1
"""Degrees: widths of a frame between which is searched if nothing says its scale."""
_PIXEL_KEYS = ("XPIXSZ", "PIXSIZE1", "PIXSIZE")
_SCALE_KEYS = ("SCALE", "PIXSCALE", "SECPIX", "SECPIX1")
_SEXAGESIMAL = re.compile(
    r"([+-]?)(\d{1,3})(?:\s*[hd:°]\s*|\s+)(\d{1,2}(?:\.\d*)?)(?:(?:\s*[m:'′]\s*|\s+)(\d{1,2}(?:\.\d*)?)\s*[s\"″]?)?\s*[m'′]?"
)


@dataclass(frozen=True)
class Hints:
    """Where a frame is searched.

    Attributes:
        ra, dec: centre of the search in degrees; None for the whole sky.
        radius: of the search in degrees.
        scale: minimum and maximum arcseconds per pixel; None if unknown.
    """

    ra: float | None = None
    dec: float | None = None
    radius: float = RADIUS
    scale: tuple[float, float] | None = None

    @property
    def has_position(self) -> bool:
        """Whether the position is known."""
        return self.ra is not None and self.dec is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return not self.has_position and self.scale is None

    def attempts(self) -> Iterator[Hints]:
        """Yield searches, the narrowest first.

        Around the position, where it is if its right ascension is in hours, wider around it, the whole sky with the
        scale, and the whole sky: header positions may be wrong by degrees, and focal lengths be those without a
        reducer.
        """
        if self.has_position:
            yield self
            if self.ra is not None and 0 < self.ra < 24:
                yield replace(self, ra=15 * self.ra)
            if self.radius < WIDE_RADIUS:
                yield replace(self, radius=WIDE_RADIUS)
        if self.scale is not None:
            yield Hints(scale=self.scale)
        yield Hints()


def hints_from(header: Mapping[str, Any], given: Hints = Hints()) -> Hints:
    """Return the hints of FITS keywords; what the user gives takes their place.

    Args:
        header: keywords in capitals; may be empty.
        given: hints of the user.
    """
    ra, dec, scale = given.ra, given.dec, given.scale
    wcs = Wcs.from_header(header)
    if not given.has_position:
        ra, dec = wcs.centre if wcs else _position(header)
    if scale is None:
        scale = scale_range(wcs.scale) if wcs else _scale(header)
    return Hints(ra, dec, given.radius, scale)


def _position(header: Mapping[str, Any]) -> tuple[float | None, float | None]:
    for names, is_hours in ((("RA", "DEC"), False), (("OBJCTRA", "OBJCTDEC"), True)):
        try:
            ra = parse_angle(header[names[0]], is_ra=True, decimal_hours=is_hours)
            return ra, parse_angle(header[names[1]], is_ra=False)
        except (KeyError, UsageError):
            continue
    return None, None


def _scale(header: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the range of arcseconds per pixel that a header's keywords allow."""
    for key in _SCALE_KEYS:
        value = _number(header.get(key))
        if 0.01 < value < 3600:
            return scale_range(value)
    focal = _number(header.get("FOCALLEN"))
    pixel = next((size for key in _PIXEL_KEYS if (size := _number(header.get(key))) > 0), 0.0)
    if not (1 <= focal <= 100_000 and 0.3 <= pixel <= 100):
        return None
    scale = 206.265 * pixel / focal
    # Programs write the size of a pixel with or without binning.
    binning = max(1.0, min(8.0, _number(header.get("XBINNING"))))
    return scale_range(scale)[0], scale_range(scale * binning)[1]


def scale_range(scale: float) -> tuple[float, float]:
    """Return the range in which a scale of the user or of a header is taken to be."""
    return scale * (1 - TOLERANCE), scale * (1 + TOLERANCE)


def parse_angle(value: Any, is_ra: bool, decimal_hours: bool = False) -> float:
    """Convert an angle to degrees.

    Args:
        value: a number of degrees, or text: ``192.72``, ``12h50m53s``, ``12:50:53``, ``+41 07 13``.
        is_ra: whether it is a right ascension, which in parts (``12:50:53``) is in hours.
        decimal_hours: whether a plain number of a right ascension is in hours.

    Raises:
        UsageError: it is no angle, or outside its range.
    """
    text = str(value).strip()
    name = "right ascension" if is_ra else "declination"
    try:
        degrees = float(text) * (15.0 if is_ra and decimal_hours else 1.0)
    except ValueError:
        match = _SEXAGESIMAL.fullmatch(text)
        if match is None:
            example = "192.72 or 12h50m53s" if is_ra else "41.12 or +41d07m13s"
            raise UsageError(f"{text[:40]!r} is not a {name}: give e.g. {example}") from None
        sign, *parts = match.groups()
        first, minutes, seconds = (float(part or 0) for part in parts)
        if minutes >= 60 or seconds >= 60:
            raise UsageError(f"{text[:40]!r} is not a {name}: minutes and seconds go up to 59") from None
        degrees = (first + minutes / 60 + seconds / 3600) * (-1 if sign == "-" else 1)
        if is_ra and "d" not in text and "°" not in text:
            degrees *= 15
    low, high = (0, 360) if is_ra else (-90, 90)
    if not low <= degrees <= high:
        raise UsageError(f"{text[:40]!r} is not a {name}: it must be from {low} to {high} degrees")
    return degrees % 360.0 if is_ra else degrees


def _number(value: Any) -> float:
    """Return a keyword's value, or 0 if it is missing or not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0
