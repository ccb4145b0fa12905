"""Measure solved frames of a night one after the other."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .depth import Completeness, FieldGalaxy, Transparency, field_galaxies
from .photometry import Photometry, measure_depth, pedestal_of
from .tycho2 import open_tycho2
from .wcs import Wcs

if TYPE_CHECKING:
    from .catalogue.objects import Catalogue
    from .tycho2 import Tycho2

logger = logging.getLogger(__name__)

_SETTINGS = ("INSTRUME", "FILTER", "GAIN")
"""Keywords of what changes the zero point of a camera."""


@dataclass(frozen=True)
class DepthMeasurement:
    """The depth of a frame or stack.

    Attributes:
        photometry: of its stars.
        transparency: 0 to 1, relative to the best frame of the night; NaN if unknown.
        galaxies: the catalogued galaxies in it; None without a catalogue or zero point.
    """

    photometry: Photometry
    transparency: float
    galaxies: list[FieldGalaxy] | None


class DepthMeter:
    """Measures the frames of a night, and remembers which galaxies were found.

    Args:
        stars: catalogue of stars; None for Tycho-2.
        galaxies: catalogue of galaxies; None for OpenNGC, if it is installed.

    Raises:
        StarCatalogueError: there is no star catalogue, or it is damaged.
    """

    def __init__(self, stars: Tycho2 | None = None, galaxies: Catalogue | None = None) -> None:
        self.completeness = Completeness()
        self._stars = stars or open_tycho2()
        self._galaxies = galaxies or _openngc()
        self._transparency = Transparency()

    def measure(
        self, light: np.ndarray, wcs: Wcs, header: Mapping[str, Any], boxes: np.ndarray, names: Sequence[str] = ()
    ) -> DepthMeasurement:
        """Measure a frame or stack.

        Args:
            light: (h, w) linear: green superpixels, or mono.
            wcs: of an image of this size.
            header: FITS keywords of the frame.
            boxes: (N, 4) of detections in pixels of `light`; names: (N,) of what they are, or empty.
        """
        photometry = measure_depth(light, wcs, self._stars, pedestal_of(header))
        settings = tuple(str(header.get(key, "")) for key in _SETTINGS)
        transparency = self._transparency.add(photometry, _exposure(header), settings)
        galaxies = None
        if self._galaxies is not None and math.isfinite(photometry.zero_point):
            around = self._galaxies.within(*wcs.centre, wcs.radius)
            galaxies = field_galaxies(around, wcs, photometry, boxes, names)
            self.completeness.add(galaxies)
        return DepthMeasurement(photometry, transparency, galaxies)


def _openngc() -> Catalogue | None:
    from .catalogue.combined import open_catalogue

    try:
        return open_catalogue()
    except UserError as error:
        logger.warning("expected galaxies are not counted: %s", error)
        return None


def _exposure(header: Mapping[str, Any]) -> float:
    """Return the seconds of an exposure; 1 where a header does not say it."""
    for key in ("EXPTIME", "EXPOSURE"):
        try:
            value = float(header[key])
        except (KeyError, TypeError, ValueError):
            continue
        if 0 < value < 1e6:
            return value
    return 1.0
