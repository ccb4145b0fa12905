"""Find new stars in a difference: shaped like stars, and not its errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .difference import Difference

THRESHOLD = 5.0
"""Minimum signal over noise of a detection."""
MIN_LIKENESS = 0.75
"""Minimum correlation of a detection's pixels with those of a star."""
MAX_HOLE = 0.5
"""Maximum depth of negative values next to a detection as a share of its peak: errors of positions have two sides."""
MAX_STAR_RATIO = 3.0
"""Light of a reference's star over that of a detection on it, from which it is that star's variation or an error."""


@dataclass(frozen=True)
class Detection:
    """Something new in a difference.

    Attributes:
        x, y: pixels of the reference, edges at whole numbers.
        light: peak of the difference; signal: over the noise, see `Difference.noise`.
        likeness: correlation with a star, at most 1.
    """

    x: float
    y: float
    light: float
    signal: float
    likeness: float


def star_template(sigma: float, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    """Return a star (n, n) of peak 1, off the middle pixel's centre by dx, dy."""
    radius = max(3, math.ceil(3 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / sigma**2), np.float32)


def find_new(difference: Difference, region: np.ndarray, threshold: float = THRESHOLD) -> list[Detection]:
    """Return what is new in a region, the brightest first.

    Args:
        difference: of a stack and its reference.
        region: (h, w) bool, where to search.
        threshold: minimum signal over noise.
    """
    values = difference.values
    usable = region & difference.valid & ~difference.saturated
    if not usable.any():
        return []
    rows, columns = np.nonzero(usable)
    margin = 4 + math.ceil(3 * difference.sigma)
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    part = values[top : rows.max() + margin + 1, left : columns.max() + margin + 1]
    noise = difference.noise[top : top + part.shape[0], left : left + part.shape[1]]
    signal = part / noise
    peaks = (part >= cv2.dilate(part, np.ones((5, 5), np.uint8))) & (signal >= threshold)
    peaks &= usable[top : top + part.shape[0], left : left + part.shape[1]]
    found = []
    for row, column in zip(*(index.tolist() for index in np.nonzero(peaks)), strict=True):
        detection = _measured(difference, row + top, column + left, float(signal[row, column]))
        if detection and not _is_on_star(difference, detection):
            found.append(detection)
    return sorted(found, key=lambda item: -item.signal)


def _measured(difference: Difference, row: int, column: int, signal: float) -> Detection | None:
    """Measure a peak; None if it is not like a star."""
    values, sigma = difference.values, difference.sigma
    radius = max(2, math.ceil(2 * sigma))
    wide = 2 * radius
    if min(row, column) < wide or row + wide >= values.shape[0] or column + wide >= values.shape[1]:
        return None
    dx, dy = _vertex(values[row, column - 1 : column + 2]), _vertex(values[row - 1 : row + 2, column])
    patch = values[row - radius : row + radius + 1, column - radius : column + radius + 1]
    template = star_template(sigma, dx, dy)
    middle = template.shape[0] // 2
    template = template[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    if template.shape != patch.shape:
        return None
    likeness = float(np.corrcoef(patch.ravel(), template.ravel())[0, 1])
    around = values[row - wide : row + wide + 1, column - wide : column + wide + 1]
    hole = -float(around.min()) - 3 * float(difference.noise[row, column])
    peak = float(values[row, column])
    if not likeness >= MIN_LIKENESS or hole > MAX_HOLE * peak:
        return None
    return Detection(column + 0.5 + dx, row + 0.5 + dy, peak, signal, likeness)


def _vertex(line: np.ndarray) -> float:
    """Return the position of the parabola's top through three values, -0.5 to 0.5."""
    before, middle, after = line.astype(float).tolist()
    bend = before + after - 2 * middle
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _is_on_star(difference: Difference, detection: Detection) -> bool:
    """Return whether a much brighter star of the reference is at its position."""
    stars = difference.stars
    if not len(stars):
        return False
    distance = np.hypot(stars.xy[:, 0] - detection.x, stars.xy[:, 1] - detection.y)
    near = np.flatnonzero(distance < 2.0 * difference.sigma)
    spots = np.floor(stars.xy[near]).astype(int)
    return any(difference.reference[y, x] > MAX_STAR_RATIO * detection.light for x, y in spots.tolist())
