"""Measure the width of the stars in a developed raw frame. numpy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np

from .stretch import Stretch

FAINTEST, BRIGHTEST = 7.0, 250.0
"""Range of the light in sigma of peaks that are measured: above the noise, and far from saturation."""
RADIUS = 12
"""Half of the side in pixels of the region around a peak in which its width is measured."""
MOST, FEWEST = 60, 5
"""Maximum and minimum number of peaks that are measured, the brightest first; of fewer, most may be galaxies."""
SHARE = 0.3
"""Quantile of the peaks' widths that is returned: galaxies and close pairs are wider than stars."""


def star_width(pixels: np.ndarray, stretch: Stretch | None = None) -> float | None:
    """Return the full width at half maximum of the stars in pixels.

    The result is None if there are too few.

    Args:
        pixels: (H, W, 3) uint8 RGB, developed by `front_end.develop` with `stretch`.
    """
    light = (stretch or Stretch()).light()
    green = np.ascontiguousarray(pixels[..., 1])
    low, high = np.searchsorted(light, [FAINTEST, BRIGHTEST])
    around = cv2.dilate(green, np.ones((7, 7), np.uint8))
    y, x = np.nonzero((green == around) & (green >= low) & (green < high))
    inside = (np.minimum(x, y) >= RADIUS) & (x < green.shape[1] - RADIUS) & (y < green.shape[0] - RADIUS)
    y, x = y[inside], x[inside]
    brightest = np.argsort(-green[y, x].astype(int), kind="stable")[:MOST]
    if len(brightest) < FEWEST:
        return None
    return float(np.quantile([_width(light[_part(green, y[n], x[n])]) for n in brightest], SHARE))


def _part(green: np.ndarray, y: int, x: int) -> np.ndarray:
    part: np.ndarray = green[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1]
    return part


def _width(light: np.ndarray) -> float:
    """Return the width of the source in the middle.

    It is the diameter of a circle with the area above half of the source's maximum.
    """
    rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    sky = float(np.median(rim))
    above = (light > sky + (light[RADIUS, RADIUS] - sky) / 2).astype(np.uint8)
    _, labels = cv2.connectedComponents(above, connectivity=4)
    return float(2 * np.sqrt((labels == labels[RADIUS, RADIUS]).sum() / np.pi))
