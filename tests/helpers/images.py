"""Rendered skies and encoded image files."""

import cv2
import numpy as np


def render(blobs, width, height, level=200.0):
    """Render Gaussian blobs (x, y, sigma) on a dark sky."""
    rows, columns = np.mgrid[:height, :width]
    sky = np.full((height, width), 8.0)
    for x, y, sigma in blobs:
        sky += level * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.clip(sky, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def encode(image, suffix=".png") -> bytes:
    """Encode an RGB (or grey, or RGBA) array as a picture file."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, content = cv2.imencode(suffix, image)
    assert done
    return content.tobytes()
