"""Encode pixels as image files."""

from __future__ import annotations

import cv2
import numpy as np


def encode_image(pixels: np.ndarray, suffix: str = ".png", quality: int | None = None) -> bytes:
    """Encode pixels as an image file.

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8; PNG also takes uint16.
        suffix: of the format: ``.png`` or ``.jpg``.
        quality: of a JPEG, 0..100; None for OpenCV's default, 95.

    Raises:
        ValueError: the format does not take these pixels.
    """
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    is_encoded, content = cv2.imencode(suffix, ordered, options)
    if not is_encoded:
        raise ValueError(f"pixels of shape {pixels.shape} cannot be encoded as {suffix}")
    return content.tobytes()
