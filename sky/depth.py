"""The depth of a night: galaxies expected and found, transparency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .catalogue.objects import CatalogueObject
from .photometry import Photometry
from .wcs import Wcs

EXPECTED_SIGMAS = 20.0
"""Signal over noise, within its isophote, of a galaxy that a detector is expected to find."""
MIN_WIDTHS = 2.0
"""Minimum major axis of such a galaxy in widths of stars: what is smaller looks like a star."""


@dataclass(frozen=True)
class FieldGalaxy:
    """A catalogued galaxy in a frame.

    Attributes:
        name: of the catalogue.
        magnitude: total; surface_brightness: mean within its isophote, mag/arcsec2, of the same band.
        sigmas: its signal over noise in the frame.
        expected: whether a detector is expected to find it; found: whether it did.
    """

    name: str
    magnitude: float
    surface_brightness: float
    sigmas: float
    expected: bool
    found: bool


def field_galaxies(
    objects: Iterable[CatalogueObject], wcs: Wcs, photometry: Photometry, boxes: np.ndarray, names: Sequence[str] = ()
) -> list[FieldGalaxy]:
    """Return the galaxies with known size and magnitude whose centres are in a frame.

    Args:
        objects: of a catalogue around the frame.
        wcs: of the image that `photometry` is of.
        photometry: of it.
        boxes: (N, 4) of detections in pixels of this image.
        names: (N,) of what they are, where that is known.
    """
    found = []
    named = {name for name in names if name}
    for item in objects:
        if item.kind != "galaxy" or item.magnitude is None or not item.major_arcsec:
            continue
        x, y = wcs.to_pixels(np.array([[item.ra, item.dec]]))[0]
        if not (0 <= x < wcs.width and 0 <= y < wcs.height):
            continue
        area = math.pi / 4 * item.major_arcsec * (item.minor_arcsec or item.major_arcsec)
        light = 10 ** (-0.4 * (item.magnitude - photometry.zero_point))
        sigmas = light / (photometry.noise * math.sqrt(max(area / wcs.scale**2, 1.0)))
        is_large = item.major_arcsec >= MIN_WIDTHS * photometry.fwhm
        is_found = item.name in named or _is_boxed(x, y, item.major_arcsec / wcs.scale, boxes)
        expected = bool(is_large and sigmas >= EXPECTED_SIGMAS)
        brightness = item.magnitude + 2.5 * math.log10(area)
        found.append(FieldGalaxy(item.name, item.magnitude, brightness, sigmas, expected, is_found))
    return found


def _is_boxed(x: float, y: float, size: float, boxes: np.ndarray) -> bool:
    """Return whether a box holds a galaxy's centre and is not many times its size."""
    if not len(boxes):
        return False
    inside = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return bool((inside & (longer <= 5 * max(size, 8.0))).any())


class Completeness:
    """Which galaxies of the fields of a night were found, each counted once."""

    def __init__(self) -> None:
        self._galaxies: dict[str, tuple[FieldGalaxy, bool, bool]] = {}

    def add(self, galaxies: Iterable[FieldGalaxy]) -> None:
        """Add the galaxies of a frame."""
        for galaxy in galaxies:
            best, expected, found = self._galaxies.get(galaxy.name, (galaxy, False, False))
            best = max(best, galaxy, key=lambda item: item.sigmas)
            self._galaxies[galaxy.name] = (best, expected or galaxy.expected, found or galaxy.found)

    def bins(self, field: str) -> list[dict[str, Any]]:
        """Return counts in bins of one magnitude.

        Each has ``from``, ``to``, ``galaxies``, ``expected``, ``found`` and ``missed``.

        Args:
            field: ``magnitude`` or ``surface_brightness``.
        """
        counts: dict[int, dict[str, Any]] = {}
        for galaxy, expected, found in self._galaxies.values():
            low = math.floor(getattr(galaxy, field))
            entry = counts.setdefault(
                low, {"from": low, "to": low + 1, "galaxies": 0, "expected": 0, "found": 0, "missed": 0}
            )
            entry["galaxies"] += 1
            entry["expected"] += expected
            entry["found"] += found
            entry["missed"] += expected and not found
        return [counts[low] for low in sorted(counts)]

    def missed_galaxies(self) -> list[FieldGalaxy]:
        """Return the galaxies expected and never found, the brightest first.

        Each is as in its best frame.
        """
        missed = [galaxy for galaxy, expected, found in self._galaxies.values() if expected and not found]
        return sorted(missed, key=lambda galaxy: galaxy.magnitude)

    def missed(self) -> list[str]:
        """Return the names of `missed_galaxies`."""
        return [galaxy.name for galaxy in self.missed_galaxies()]

    def totals(self) -> tuple[int, int]:
        """Return how many galaxies were expected, and how many of these were found."""
        expected = [found for _, expected, found in self._galaxies.values() if expected]
        return len(expected), sum(expected)


class Transparency:
    """The share of starlight that arrives, relative to the best frame so far.

    Frames are compared with those of the same camera settings.
    """

    def __init__(self) -> None:
        self._best: dict[tuple[str, ...], float] = {}

    def add(self, photometry: Photometry, exposure: float, settings: tuple[str, ...] = ()) -> float:
        """Return the transparency of a frame: 0 to 1; NaN where there is no zero point.

        Args:
            photometry: of the frame or stack.
            exposure: seconds of a frame.
            settings: what changes the zero point: camera, filter, gain.
        """
        zero = photometry.zero_point - 2.5 * math.log10(exposure)
        if not math.isfinite(zero):
            return math.nan
        self._best[settings] = best = max(self._best.get(settings, zero), zero)
        return float(10 ** (0.4 * (zero - best)))
