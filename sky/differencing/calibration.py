"""The magnitudes of a difference, by the catalogued stars of its stack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..photometry import SIGMAS, catalogued_pixels, clipped_median, isolated_stars, star_peaks
from ..tycho2 import Tycho2
from .difference import Difference

MIN_STARS = 2
"""Minimum number of stars for a zero point."""


@dataclass(frozen=True)
class Calibration:
    """The magnitudes of a difference.

    Attributes:
        zero_point: magnitude (VT) of a star whose peak in the difference is 1.
        error: standard error of it.
        limit: magnitude of a star of 5 sigma in the stack, away from galaxies.
    """

    zero_point: float
    error: float
    limit: float

    def magnitude(self, light: float) -> float:
        """Return the magnitude of a star by its peak in the difference."""
        return self.zero_point - 2.5 * math.log10(light) if light > 0 else math.nan

    def light(self, magnitude: float) -> float:
        """Return the peak of a star of a magnitude."""
        return float(10 ** (-0.4 * (magnitude - self.zero_point)))


def calibrate(difference: Difference, catalogue: Tycho2) -> Calibration | None:
    """Return the magnitudes of a difference; None with too few catalogued stars."""
    xy, magnitude = catalogued_pixels(difference.wcs, catalogue, margin=6 * difference.sigma)
    if not len(xy):
        return None
    row, column = np.floor(xy[:, 1]).astype(int), np.floor(xy[:, 0]).astype(int)
    usable = difference.valid[row, column] & ~difference.saturated[row, column]
    xy, magnitude = xy[usable], magnitude[usable]
    middle = np.median(difference.smoothed[difference.valid])
    below = difference.smoothed[difference.valid & (difference.smoothed < middle)] - middle
    noise = 1.4826 * float(np.median(np.abs(below)))
    peaks = star_peaks(difference.new, difference.smoothed, xy, math.inf)
    good = np.isfinite(peaks) & (peaks > 2 * SIGMAS * noise) & isolated_stars(xy, magnitude, 8 * difference.sigma)
    if int(good.sum()) < MIN_STARS:
        return None
    zero, error, kept = clipped_median(magnitude[good] + 2.5 * np.log10(peaks[good]))
    if kept < MIN_STARS:
        return None
    return Calibration(zero, error, zero - 2.5 * math.log10(SIGMAS * noise))
