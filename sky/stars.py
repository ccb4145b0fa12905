"""Find the stars of a frame and measure them: position, light, width, elongation.

numpy and OpenCV only; about 0.1 s for two megapixels, so it runs when a frame is solved, not for every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

TILE = 32
"""Side in pixels of the tiles whose medians are the sky's brightness."""
MIN_SIGMA = 5.0
"""Minimum peak of a star in the smoothed frame, in standard deviations of its noise."""
RADIUS = 6
"""Radius in pixels within which a star is measured."""
SMOOTHING = 1.2
"""Standard deviation in pixels of the Gaussian that frames are smoothed with."""
_FWHM = 2.3548
MIN_AROUND = 0.08
"""Minimum light of the eight pixels around a peak relative to it; with less it is a hot pixel or a cosmic ray."""
MIN_WEIGHT = 0.5
"""Minimum variance in pixels of the Gaussian that moments are weighted with; stars may be narrower."""
MAX_ELONGATION = 3.0
"""Maximum ratio of the axes of a star; trails and edges of nebulae are longer."""


@dataclass(frozen=True, eq=False)
class ImageStars:
    """Stars of a frame, the brightest first.

    Attributes:
        xy: (N, 2) float64, pixels of the frame, edges at whole numbers.
        flux: (N,) light above the sky, in the frame's units.
        fwhm: (N,) full width at half maximum in pixels of the frame, the mean of both axes.
        elongation: (N,) longer axis over shorter axis, at least 1.
    """

    xy: np.ndarray
    flux: np.ndarray
    fwhm: np.ndarray
    elongation: np.ndarray

    def __len__(self) -> int:
        return len(self.xy)

    def brightest(self, count: int) -> ImageStars:
        """Return the `count` brightest stars."""
        return ImageStars(self.xy[:count], self.flux[:count], self.fwhm[:count], self.elongation[:count])


def join_planes(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of channels (h, w) of any real type, float32.

    Values that are not finite count as 0.
    """
    light = np.zeros(planes[0].shape, np.float32)
    for plane in planes:
        light += np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)
    return light


def find_stars(light: np.ndarray, binning: int = 1, limit: int = 1000) -> ImageStars:
    """Find the stars of a frame.

    Args:
        light: (h, w) float32, finite.
        binning: pixels of the frame along a side of one pixel of `light`: 2 for superpixels.
        limit: maximum number of stars.
    """
    empty = np.zeros(0)
    nothing = ImageStars(np.zeros((0, 2)), empty, empty, empty)
    if min(light.shape) < 4 * RADIUS:
        return nothing
    light = light - sky_background(light, TILE)
    smooth = cv2.GaussianBlur(light, (0, 0), SMOOTHING)
    noise = 1.4826 * float(np.median(np.abs(smooth[::3, ::3] - np.median(smooth[::3, ::3]))))
    noise = noise or float(smooth.std()) / 10  # drawn stars on black have no noise
    if not noise > 0:
        return nothing
    y, x = _peaks(smooth, MIN_SIGMA * noise, 3 * limit)
    if not len(x):
        return nothing
    return _measured(light, x, y, noise, binning, limit)


def sky_background(light: np.ndarray, side: int) -> np.ndarray:
    """Return the sky of a frame (h, w): interpolated medians of tiles.

    Args:
        light: (h, w) float32.
        side: of a tile in pixels.
    """
    height, width = light.shape
    rows, columns = max(1, height // side), max(1, width // side)
    high, wide = height // rows, width // columns
    tiles = light[: rows * high, : columns * wide].reshape(rows, high, columns, wide)[:, ::2, :, ::2]
    medians = np.median(tiles, axis=(1, 3)).astype(np.float32)
    if min(medians.shape) >= 3:
        medians = cv2.medianBlur(medians, 3)  # a bright star or galaxy in one tile
    return np.asarray(cv2.resize(medians, (width, height), interpolation=cv2.INTER_LINEAR))


def _peaks(smooth: np.ndarray, least: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of peaks, the brightest first.

    A peak is the highest pixel of 7 x 7.
    """
    highest = cv2.dilate(smooth, np.ones((7, 7), np.uint8))
    is_peak = (smooth >= highest) & (smooth > least)
    edge = RADIUS + 1
    is_peak[:edge] = is_peak[-edge:] = False
    is_peak[:, :edge] = is_peak[:, -edge:] = False
    y, x = np.nonzero(is_peak)
    order = np.argsort(-smooth[y, x], kind="stable")[:limit]
    return y[order], x[order]


def _measured(light: np.ndarray, x: np.ndarray, y: np.ndarray, noise: float, binning: int, limit: int) -> ImageStars:
    """Measure stars at peaks by moments.

    They are weighted with a Gaussian that follows the star's centre.
    """
    offsets = np.arange(-RADIUS, RADIUS + 1)
    patches = light[y[:, None, None] + offsets[:, None], x[:, None, None] + offsets].astype(np.float64)
    centre = np.zeros((len(x), 2))
    width = np.full(len(x), 2.0)  # variance of the weight
    for _ in range(6):
        right = offsets[None, None, :] - centre[:, 0, None, None]
        down = offsets[None, :, None] - centre[:, 1, None, None]
        weighted = patches * np.exp(-(right**2 + down**2) / (2 * width[:, None, None]))
        total = weighted.sum(axis=(1, 2))
        total = np.where(total > 0, total, np.inf)
        shift = np.stack([(weighted * right).sum(axis=(1, 2)), (weighted * down).sum(axis=(1, 2))], axis=1)
        shift /= total[:, None]
        xx, yy, xy = ((weighted * part).sum(axis=(1, 2)) / total for part in (right**2, down**2, right * down))
        centre = np.clip(centre + 2 * shift, -RADIUS / 2, RADIUS / 2)
        # A Gaussian star weighted by a Gaussian of variance w has the variance s w / (s + w).
        seen = np.clip((xx + yy) / 2, 0.1, 0.95 * width)
        variance = np.clip(seen * width / (width - seen), 0.1, 9.0)
        width = np.maximum(variance, MIN_WEIGHT)  # a narrower weight would see one pixel only
    inner = (offsets[:, None] ** 2 + offsets**2) <= RADIUS**2
    flux = (patches * inner).sum(axis=(1, 2))
    turn = np.hypot((xx - yy) / 2, xy)
    mean = (xx + yy) / 2
    elongation = np.sqrt(np.maximum(mean + turn, 1e-6) / np.maximum(mean - turn, 1e-6))
    fwhm = _FWHM * np.sqrt(variance)
    near = patches[:, RADIUS - 1 : RADIUS + 2, RADIUS - 1 : RADIUS + 2]
    around = (near.sum(axis=(1, 2)) - near[:, 1, 1]) / 8
    good = (flux > 5 * noise) & (around > MIN_AROUND * near[:, 1, 1]) & (elongation < MAX_ELONGATION)
    good &= np.abs(centre).max(axis=1) < RADIUS / 2
    order = np.nonzero(good)[0]
    order = order[np.argsort(-flux[order], kind="stable")][:limit]
    xy_found = (np.stack([x, y], axis=1)[order] + centre[order] + 0.5) * binning
    return ImageStars(xy_found, flux[order], fwhm[order] * binning, elongation[order])
