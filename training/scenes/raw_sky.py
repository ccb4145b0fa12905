"""Skies of real raw frames in units of their noise, without their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...models.raw.front_end import linear_planes, measure
from .camera_effects import Rng

_STAR = 2.0
"""A smoothed pixel above this number of standard deviations shows a star, not noise."""


@dataclass(frozen=True)
class RawSky:
    """A frame without galaxies.

    Attributes:
        light: (H, W, 3) float16 in sigma above the sky.
    """

    light: np.ndarray

    def cut(self, rng: Rng, height: int, width: int, depth: int = 1) -> np.ndarray | None:
        """Cut a part out, mirrored or not: (height, width, 3) float32.

        The result is None if the frame is too small.

        Args:
            depth: number of frames in a stack, which reduces the noise, the unit of light, but not the stars.
        """
        light = self.light
        if light.shape[0] > light.shape[1]:
            light = light.swapaxes(0, 1)
        if height > light.shape[0] or width > light.shape[1]:
            return None
        y, x = int(rng.integers(light.shape[0] - height + 1)), int(rng.integers(light.shape[1] - width + 1))
        part = light[y : y + height, x : x + width].astype(np.float32)
        part = np.ascontiguousarray(part[:: rng.choice([1, -1]), :: rng.choice([1, -1])])
        return stacked(part, depth) if depth > 1 else part


def stacked(light: np.ndarray, depth: int) -> np.ndarray:
    """Convert a frame (H, W, 3) to a stack of `depth` such frames.

    Light is in sigma of the frame before, and in sigma of the mean of the stack afterwards.
    """
    smooth = cv2.GaussianBlur(light.mean(axis=2), (0, 0), 1.0)
    star = np.clip(cv2.dilate(smooth, np.ones((3, 3), np.uint8)) / np.float32(_STAR) - 1, 0, 1)[..., None]
    root = np.float32(np.sqrt(depth))
    return np.asarray(light * (star * root + (1 - star)))


def raw_sky(mosaic: np.ndarray, pattern: str | None, targets: Sequence[tuple[float, float, float]] = ()) -> RawSky:
    """Create a sky from a raw frame.

    Args:
        mosaic: (H, W) linear.
        pattern: see `models.raw.bayer.parse_pattern`; None for mono.
        targets: x, y and radius in pixels of the mosaic of objects to cover with other sky.
    """
    planes, _ = linear_planes(mosaic, pattern)
    levels = measure(planes)
    height, width = planes[0].shape
    light = cv2.merge(
        [
            (plane - sky.surface(height, width)) * np.float32(factor)
            for plane, sky, factor in zip(planes, levels.backgrounds, levels.factors, strict=True)
        ]
    )
    if light.ndim == 2:
        light = np.repeat(light[..., None], 3, axis=2)
    binning = 2 if pattern else 1
    for x, y, radius in targets:
        _cover(light, int(x / binning), int(y / binning), int(radius / binning))
    return RawSky(light.astype(np.float16))


def _cover(light: np.ndarray, x: int, y: int, radius: int) -> None:
    """Copy sky from above or below over a square, in place, without visible seams."""
    height, width = light.shape[:2]
    top, bottom = max(0, y - radius), min(height, y + radius)
    left, right = max(0, x - radius), min(width, x + radius)
    high = bottom - top
    source = top - high if top >= high else min(bottom, height - high)
    light[top:bottom, left:right] = light[source : source + high, left:right]
