"""Bring a solved image onto the pixels of another one of the same field."""

from __future__ import annotations

import cv2
import numpy as np

from ..stars import ImageStars, find_stars
from ..wcs import Wcs

MIN_MATCHES = 6
"""Minimum number of common stars for a correction of the positions by these stars."""
_MATCH_RADIUS = 2.0
"""Pixels within which two stars are the same."""
_MAX_CORRECTION = 2.0
"""Pixels: a larger correction contradicts the plate solutions, and is not made."""


def pixel_map(target: Wcs, source: Wcs) -> np.ndarray:
    """Return where the pixels of a target are in a source image.

    Returns:
        (h, w, 2) float32 x and y, whose whole numbers are the centres of pixels; NaN where the source has no sky.
    """
    y, x = np.mgrid[0 : target.height, 0 : target.width] + 0.5
    spots = source.to_pixels(target.to_sky(np.stack([x.ravel(), y.ravel()], axis=1))) - 0.5
    return spots.reshape(target.height, target.width, 2).astype(np.float32)


def resample(light: np.ndarray, spots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image at the positions of a `pixel_map`, and which pixels are valid.

    Args:
        light: (h, w) float32.
        spots: (H, W, 2).

    Returns:
        (H, W) float32, its median where it is not valid; and (H, W) bool.
    """
    finite = np.isfinite(light)
    level = float(np.median(light[finite])) if finite.any() else 0.0
    filled = np.where(finite, light, np.float32(level)).astype(np.float32)
    x, y = np.ascontiguousarray(spots[..., 0]), np.ascontiguousarray(spots[..., 1])
    result = cv2.remap(filled, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_CONSTANT, borderValue=level)
    height, width = light.shape
    with np.errstate(invalid="ignore"):
        valid = (x >= 4) & (y >= 4) & (x <= width - 5) & (y <= height - 5)
    if not finite.all():
        holes = cv2.dilate((~finite).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.float32)
        valid &= cv2.remap(holes, x, y, cv2.INTER_NEAREST, borderValue=1.0) == 0
    result[~valid] = level
    return np.asarray(result), np.asarray(valid)


def align(reference: np.ndarray, target: Wcs, light: np.ndarray, source: Wcs) -> tuple[np.ndarray, np.ndarray]:
    """Return an image on the pixels of a reference, and which pixels are valid.

    The plate solutions give the positions; common stars correct their last tenths of a pixel.

    Args:
        reference: (H, W) float32; target: its WCS.
        light: (h, w) float32; source: its WCS.
    """
    spots = pixel_map(target, source)
    first, valid = resample(light, spots)
    correction = _correction(find_stars(reference, limit=200), find_stars(first, limit=200), valid)
    if correction is None:
        return first, valid
    height, width = reference.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved_x = (correction[0, 0] * x + correction[0, 1] * y + correction[0, 2]).astype(np.float32)
    moved_y = (correction[1, 0] * x + correction[1, 1] * y + correction[1, 2]).astype(np.float32)
    return resample(light, cv2.remap(spots, moved_x, moved_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _correction(before: ImageStars, after: ImageStars, valid: np.ndarray) -> np.ndarray | None:
    """Return the matrix (2, 3) from pixels of the reference to those of the image.

    Whole numbers are the centres of pixels. None if there are too few common stars, or they contradict the solutions.
    """
    if len(before) < MIN_MATCHES or len(after) < MIN_MATCHES:
        return None
    distances = np.hypot(before.xy[:, None, 0] - after.xy[None, :, 0], before.xy[:, None, 1] - after.xy[None, :, 1])
    nearest = distances.argmin(axis=1)
    mutual = distances.argmin(axis=0)[nearest] == np.arange(len(before))
    pairs = np.flatnonzero(mutual & (distances[np.arange(len(before)), nearest] < _MATCH_RADIUS))
    if len(pairs) < MIN_MATCHES:
        return None
    matrix, _ = cv2.estimateAffinePartial2D(
        before.xy[pairs] - 0.5, after.xy[nearest[pairs]] - 0.5, method=cv2.RANSAC, ransacReprojThreshold=0.4
    )
    if matrix is None:
        return None
    height, width = valid.shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return matrix if np.abs(moved - corners).max() <= _MAX_CORRECTION else None
