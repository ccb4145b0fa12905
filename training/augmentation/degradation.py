"""Degrade crops of galaxies by known amounts, as other exposures would."""

from __future__ import annotations

import cv2
import numpy as np

from ...models.levels import sky_and_peak
from ...models.preprocess import resize
from ...runtime.inference.domain import BURNT_LEVEL


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """Reduce the resolution of a crop, but not its size.

    The crop (size, size, 3) uint8 then looks as if it had `side` pixels in its frame.
    """
    size = image.shape[0]
    if side >= size:
        return image
    return resize(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), size, size)


def cut(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace `share` of a crop's area, as if it lay outside the frame.

    The area is at one side or all around, and is filled as the runtime fills it.
    """
    size, all_sides = image.shape[0], rng.random() < 0.5
    strip = round(size * (1 - np.sqrt(1 - share)) / 2) if all_sides else round(size * share)
    view = np.rot90(image, int(rng.integers(4)))
    # As of a galaxy that is larger than its frame, or at its edge.
    inner = view[strip : size - strip, strip : size - strip] if all_sides else view[strip:]
    other_strips = strip if all_sides else 0
    inner = np.ascontiguousarray(inner)
    repeated = cv2.copyMakeBorder(
        inner, strip, other_strips, other_strips, other_strips, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(repeated)


def overexposed(image: np.ndarray, share: float) -> np.ndarray:
    """Raise a crop's light above the sky until `share` of its pixels are burnt out."""
    sky, _ = sky_and_peak(image)
    light = image - sky
    factor = (BURNT_LEVEL + 2 - sky.max()) / max(float(np.quantile(light.max(axis=2), 1 - share)), 1.0)
    return np.asarray(np.clip(np.round(sky + light * max(factor, 1.0)), 0, 255).astype(np.uint8))
