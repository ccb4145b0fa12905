"""Measure and cut out galaxies that fill their image.

Catalogues of nearby galaxies contain such images.

Such images have no box, so the size of the galaxy has to be measured. numpy and OpenCV only.
"""

from __future__ import annotations

import cv2
import numpy as np

from .cutouts import Cutout

CLOSE_UPS = "efigi"
"""Name of the data set of such images."""

MAX_ROUNDS = 8
"""Maximum iterations of the ellipse and its curve of growth."""

FADE = (1.05, 1.4)
"""Radii between which a cutout fades to zero, in units of the ellipse."""

RIM = 0.08
"""Share of the image's side over which a cutout fades to zero at the edges."""

MIN_BRIGHTNESS = 15.0
"""Level that a tenth of the ellipse must exceed; fainter galaxies would be invisible in another sky."""


def measure_ellipse(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Measure the ellipse that holds 90 % of the central galaxy's light.

    The light is that which the image displays.

    Axis ratio and angle come from second moments of the minimum of the image and the image rotated by 180 degrees,
    which removes stars; the radius comes from the curve of growth of the median profile. The median overlap (IoU) with
    the measured boxes of Galaxy Zoo frames cut to the same scale is 0.89.

    Args:
        image: (H, W, 3) uint8 RGB, the galaxy in the middle and filling most of it.

    Returns:
        the (2, 2) matrix of the ellipse, whose diagonal holds the squared half sides of its box in pixels, and the
        sky's levels (3,) float32; None if there is no light in the middle.
    """
    grey = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5).astype(np.float32)
    height, width = grey.shape
    rim = np.ones((height, width), bool)
    rim[4:-4, 4:-4] = False
    dark = float(np.percentile(grey[rim], 25))
    noise = max(1.0, dark - float(np.percentile(grey[rim], 5)))
    light = np.maximum(np.minimum(grey, grey[::-1, ::-1]) - dark, 0)
    y, x = np.mgrid[:height, :width] + 0.5 - np.array([height, width])[:, None, None] / 2
    reach, radius, shape = int(0.72 * width), 0.35 * width, np.eye(2)
    for _ in range(MAX_ROUNDS):
        distance = _radii(x, y, shape)
        near = distance < radius
        weight = np.minimum(light, np.percentile(light[near], 80)) * (distance < 1.2 * radius)
        if weight.sum() <= 0:
            return None
        cross = (weight * x * y).sum()
        moments = np.array([[(weight * x**2).sum(), cross], [cross, (weight * y**2).sum()]])
        shape = moments / np.sqrt(max(np.linalg.det(moments), 1e-6))
        ring = _radii(x, y, shape).astype(int)
        profile = np.array([np.median(grey[ring == step]) if (ring == step).any() else dark for step in range(reach)])
        profile = np.maximum(profile - dark, 0)
        faint = np.flatnonzero(profile < max(0.02 * profile[: max(2, int(0.3 * radius))].mean(), 0.7 * noise))
        profile[faint[0] if len(faint) else reach :] = 0
        growth = np.cumsum(profile * np.diff(np.arange(reach + 1) ** 2))
        if growth[-1] <= 0:
            return None
        previous, radius = radius, float(np.searchsorted(growth, 0.9 * growth[-1]) + 0.5)
        if abs(radius - previous) < 1:
            break
    sky = np.percentile(image[rim], 25, axis=0).astype(np.float32)
    return shape * radius**2, sky


def cut_out_close_up(image: np.ndarray) -> Cutout | None:
    """Cut out the galaxy in the middle of an image.

    It fades out around its ellipse and towards the edges of the image.

    Args:
        image: (H, W, 3) uint8 RGB, see `measure_ellipse`.

    Returns:
        the cutout, or None if there is no galaxy, or it is larger than the image or too faint for another sky.
    """
    measured = measure_ellipse(image)
    if measured is None:
        return None
    ellipse, sky = measured
    height, width = image.shape[:2]
    half = np.sqrt(np.diag(ellipse))
    if min(half) < 3 or max(half / (width, height)) > 0.51:
        return None
    y, x = np.mgrid[:height, :width] + 0.5 - np.array([height, width])[:, None, None] / 2
    mask = np.clip((FADE[1] - _radii(x, y, ellipse)) / (FADE[1] - FADE[0]), 0, 1)
    for offset, side in ((x, width), (y, height)):
        mask *= np.clip((0.5 * side - np.abs(offset)) / (RIM * side), 0, 1)
    light = np.maximum(image.astype(np.float32) - sky, 0) * mask[..., None]
    middle = np.array([width, height]) / 2
    inside = _radii(x, y, ellipse) < 1
    if np.percentile(light[inside].mean(axis=1), 90) < MIN_BRIGHTNESS:
        return None
    tilt = float(np.clip(ellipse[0, 1] / np.prod(half), -0.95, 0.95))
    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
    return Cutout(light.round().astype(np.uint8), box, tilt)


def _radii(x: np.ndarray, y: np.ndarray, ellipse: np.ndarray) -> np.ndarray:
    """Return elliptical distances from the middle; the ellipse lies at 1."""
    inverse = np.linalg.inv(ellipse)
    squared: np.ndarray = np.maximum(inverse[0, 0] * x**2 + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y**2, 0)
    return np.asarray(np.sqrt(squared))
