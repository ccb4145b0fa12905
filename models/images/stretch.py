"""Stretch images of more than 8 bits to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def to_rgb8(image: np.ndarray) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Convert (H, W) or (H, W, 3) of any depth to (H, W, 3) uint8.

    Return the stretch if one was needed.

    All channels share one stretch: black at the median minus one robust sigma, white at the 99.8th percentile, and
    asinh between them (Lupton et al. 2004, PASP 116, 133). Values that are not finite become black.
    """
    if image.dtype == np.uint8:
        stretch = None
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 or not finite become black
            image, stretch = _stretched(image.astype(np.float32))
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image), stretch


def raw_of(image: np.ndarray) -> np.ndarray | None:
    """Return an image of more than 8 bits as uint16 or float32; else None.

    Values that are not finite become NaN. The image is not copied where that is possible.
    """
    if image.dtype in (np.uint8, np.uint16):
        return None if image.dtype == np.uint8 else image
    with np.errstate(over="ignore", invalid="ignore"):
        values: np.ndarray = image if image.dtype == np.float32 else image.astype(np.float32)
        if np.isfinite(values.sum(dtype=np.float64)):
            return values  # without a copy: large images are most of a run's memory
        return np.where(np.isfinite(values), values, np.float32(np.nan))


def _stretched(data: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    luminance = data if data.ndim == 2 else data.mean(axis=2)
    finite = luminance[np.isfinite(luminance)]
    if finite.size == 0:
        finite = np.zeros(1, np.float32)
    finite = finite[:: max(1, finite.size // 1_000_000)]
    median = float(np.median(finite))
    sigma = 1.4826 * float(np.median(np.abs(finite - median)))
    black = median - sigma
    white = float(np.percentile(finite, 99.8))
    if not white > black:
        black, white = float(finite.min()), float(finite.max())
    white = max(white, black + 1e-6 * max(1.0, abs(black)))
    softening = 0.1
    level = np.clip(np.nan_to_num((data - black) / (white - black), nan=0.0), 0.0, 1.0)
    level = np.arcsinh(level / softening) / np.arcsinh(1.0 / softening)
    stretch = {"kind": "asinh", "black": black, "white": white, "softening": softening}
    return np.round(level * 255.0).astype(np.uint8), stretch
