"""Sky level and peak of a galaxy's image.

The image can be normalised by both.
"""

from __future__ import annotations

import numpy as np


def sky_and_peak(field: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sky (3,) and the peak of an image (H, W, 3) uint8.

    The sky is the median of its rim, the peak the 99.5th percentile of its level above the sky, at least 1.
    """
    rim = np.concatenate([field[:2], field[-2:], field[:, :2].swapaxes(0, 1), field[:, -2:].swapaxes(0, 1)])
    sky = np.median(rim, axis=(0, 1)).astype(np.float32)
    return sky, max(1.0, float(np.percentile((field - sky).max(axis=2), 99.5)))


def normalise_levels(image: np.ndarray, top: float = 230.0) -> np.ndarray:
    """Subtract the sky from an image (H, W, 3) uint8 and scale the rest.

    The peak becomes the level `top`; levels stay within 0..255.

    A network that relies on a survey's sky or stretch instead of the galaxy's shape fails on such images.
    """
    sky, peak = sky_and_peak(image)
    return np.asarray(np.clip(np.round((image - sky) * (top / peak)), 0, 255).astype(np.uint8))
