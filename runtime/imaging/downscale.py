"""Small copies of frames, for displays."""

from __future__ import annotations

import cv2
import numpy as np

from ..frame import Detections


def downscale_with_boxes(pixels: np.ndarray, named: Detections, longest: int) -> tuple[np.ndarray, Detections]:
    """Copy (H, W, 3) pixels, at most `longest` a side, and scale the detections.

    The image is halved repeatedly, then scaled linearly, which takes a quarter of the time of one step by area and
    loses no star.
    """
    small = pixels
    while max(small.shape[:2]) >= 2 * longest:
        small = cv2.resize(small, (small.shape[1] // 2, small.shape[0] // 2), interpolation=cv2.INTER_AREA)
    scale = min(1.0, longest / max(small.shape[:2]))
    if scale < 1.0:
        size = max(1, round(small.shape[1] * scale)), max(1, round(small.shape[0] * scale))
        small = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    elif small is pixels:
        small = pixels.copy()
    scales = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]] * 2, np.float32)
    return small, Detections(named.boxes * scales, named.scores, named.probabilities, named.names)
