"""Where a new star would belong to a galaxy: within two of its radii."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..angles import direction, separation
from ..catalogue.objects import CatalogueObject
from ..wcs import Wcs

RADII = 2.0
"""Reach of a search in radii of the galaxy's isophote."""
MIN_MAJOR = 20.0
"""Major axis in arcsec of galaxies without one or with a smaller one."""
_NOT_GALAXIES = ("galaxy pair", "galaxy triplet", "galaxy group")


@dataclass(frozen=True)
class GalaxyOffset:
    """A position relative to the nucleus of a galaxy, in arcsec east and north."""

    galaxy: str
    east: float
    north: float
    radii: float

    @property
    def separation(self) -> float:
        """Distance from the nucleus in arcsec."""
        return math.hypot(self.east, self.north)


class SearchArea:
    """The surroundings of the catalogued galaxies in a field.

    Args:
        objects: of a catalogue; what is not a single galaxy is left out.
        wcs: of the image that is searched.

    Attributes:
        region: (h, w) bool, pixels within `RADII` radii of a galaxy.
        galaxies: of which at least a part is in the image, the largest first.
    """

    def __init__(self, objects: Iterable[CatalogueObject], wcs: Wcs) -> None:
        self._wcs = wcs
        self.region: np.ndarray = np.zeros((wcs.height, wcs.width), bool)
        self.galaxies: list[CatalogueObject] = []
        for item in sorted(objects, key=lambda item: -(item.major_arcsec or 0.0)):
            if not item.is_galaxy or item.kind in _NOT_GALAXIES:
                continue
            if self._mark(item):
                self.galaxies.append(item)

    def _mark(self, item: CatalogueObject) -> bool:
        """Add the pixels of a galaxy's surroundings; return whether there are any."""
        x, y = self._wcs.to_pixels(np.array([[item.ra, item.dec]]))[0]
        if not math.isfinite(x + y):
            return False
        reach = RADII * _axes(item)[0] / self._wcs.scale
        left, right = max(0, math.floor(x - reach)), min(self._wcs.width, math.ceil(x + reach))
        top, bottom = max(0, math.floor(y - reach)), min(self._wcs.height, math.ceil(y + reach))
        if left >= right or top >= bottom:
            return False
        rows, columns = np.mgrid[top:bottom, left:right] + 0.5
        sky = self._wcs.to_sky(np.stack([columns.ravel(), rows.ravel()], axis=1))
        inside = _radii(item, sky[:, 0], sky[:, 1]).reshape(rows.shape) <= RADII
        self.region[top:bottom, left:right] |= inside
        return bool(inside.any())

    def bounds(self, margin: int) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 of the region with a margin; all 0 if empty."""
        rows, columns = np.flatnonzero(self.region.any(axis=1)), np.flatnonzero(self.region.any(axis=0))
        if not len(rows):
            return 0, 0, 0, 0
        return (
            max(0, int(columns[0]) - margin), max(0, int(rows[0]) - margin),
            min(self._wcs.width, int(columns[-1]) + margin + 1), min(self._wcs.height, int(rows[-1]) + margin + 1),
        )  # fmt: skip

    def offset(self, ra: float, dec: float) -> GalaxyOffset | None:
        """Return the galaxy that a position is the fewest radii away from."""
        best: tuple[float, CatalogueObject] | None = None
        for item in self.galaxies:
            radii = float(_radii(item, np.array([ra]), np.array([dec]))[0])
            if radii <= RADII * 1.05 and (best is None or radii < best[0]):
                best = radii, item
        if best is None:
            return None
        radii, item = best
        distance = float(separation(item.ra, item.dec, ra, dec)) * 3600
        angle = math.radians(float(direction(item.ra, item.dec, ra, dec)))
        return GalaxyOffset(item.name, distance * math.sin(angle), distance * math.cos(angle), radii)


def _axes(item: CatalogueObject) -> tuple[float, float]:
    """Return the semi-axes in arcsec; those of a circle if the angle is unknown."""
    major = max(item.major_arcsec or 0.0, MIN_MAJOR)
    minor = major if item.position_angle is None else max(item.minor_arcsec or major, MIN_MAJOR, 0.3 * major)
    return major / 2, minor / 2


def _radii(item: CatalogueObject, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return the distances (N,) of positions from a galaxy in units of its radius."""
    major, minor = _axes(item)
    distance = np.asarray(separation(item.ra, item.dec, ra, dec)) * 3600
    toward = np.radians(np.asarray(direction(item.ra, item.dec, ra, dec)) - (item.position_angle or 0.0))
    return np.asarray(np.hypot(distance * np.cos(toward) / major, distance * np.sin(toward) / minor))
