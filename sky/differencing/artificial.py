"""Artificial stars: which share of new ones would a night have found?

A star is added to the difference, which is the same as to add it to the stack before: the kernel is that of the real
stars. Its photon noise is left out, which is much smaller than that of the sky for faint stars.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .calibration import Calibration
from .detection import THRESHOLD, Detection, find_new, star_template
from .difference import Difference

STARS = 32
"""Number of artificial stars of a magnitude in a field."""
STEPS = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5)
"""Magnitudes relative to the limiting magnitude of the first stack."""
_SPACING = 14.0
"""Minimum distance of two artificial stars in pixels."""


def draw_positions(region: np.ndarray, seed: int, count: int = STARS) -> np.ndarray:
    """Return positions (N, 2) in a region, in pixels with edges at whole numbers.

    They are fewer than `count` in a region without space for more.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(region)
    chosen: list[np.ndarray] = []
    for index in rng.permutation(len(rows))[: 50 * count]:
        spot = np.array([columns[index], rows[index]]) + rng.uniform(0, 1, 2)
        if all(math.hypot(*(spot - other)) >= _SPACING for other in chosen):
            chosen.append(spot)
        if len(chosen) == count:
            break
    return np.array(chosen).reshape(-1, 2)


def with_stars(difference: Difference, positions: np.ndarray, light: float) -> Difference:
    """Return a difference with stars of a peak at positions (N, 2)."""
    values = difference.values.copy()
    height, width = values.shape
    for x, y in positions.tolist():
        column, row = math.floor(x), math.floor(y)
        stamp = light * star_template(difference.sigma, x - column - 0.5, y - row - 0.5)
        radius = stamp.shape[0] // 2
        top, left = row - radius, column - radius
        if top >= 0 and left >= 0 and top + stamp.shape[0] <= height and left + stamp.shape[1] <= width:
            values[top : top + stamp.shape[0], left : left + stamp.shape[1]] += stamp
    return replace(difference, values=values)


class ArtificialStars:
    """The artificial stars of a field and a night.

    Args:
        region: (h, w) bool, where they are put.
        seed: of their positions.
    """

    def __init__(self, region: np.ndarray, seed: int) -> None:
        self.positions = draw_positions(region, seed)
        self.magnitudes: np.ndarray = np.zeros(0)
        self.found: np.ndarray = np.zeros((0, len(self.positions)), int)
        self._region = region

    def add(self, difference: Difference, calibration: Calibration, threshold: float = THRESHOLD) -> None:
        """Search a stack for the stars of each magnitude."""
        if not len(self.magnitudes):
            self.magnitudes = np.round(calibration.limit * 2) / 2 + np.array(STEPS)
            self.found = np.zeros((len(self.magnitudes), len(self.positions)), int)
        for number, magnitude in enumerate(self.magnitudes.tolist()):
            changed = with_stars(difference, self.positions, calibration.light(magnitude))
            self.found[number] += _are_found(find_new(changed, self._region, threshold), self.positions)

    def share(self, magnitude: float, needed: int) -> float:
        """Return which share of stars of a magnitude `needed` stacks or more show."""
        if not self.found.size:
            return math.nan
        shares = (self.found >= needed).mean(axis=1)
        return float(np.interp(magnitude, self.magnitudes, shares))


def _are_found(detections: list[Detection], positions: np.ndarray, radius: float = 1.5) -> np.ndarray:
    """Return which positions (N,) have a detection within a radius in pixels."""
    if not detections or not len(positions):
        return np.zeros(len(positions), bool)
    spots = np.array([(item.x, item.y) for item in detections])
    return np.asarray(np.hypot(*(positions[:, None] - spots[None]).transpose(2, 0, 1)).min(axis=1) <= radius)
