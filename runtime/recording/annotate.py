"""Draw detections on a frame, and scale images."""

from __future__ import annotations

import cv2
import numpy as np

from ...models.naming import shown_group
from ..events.frame_record import display_label
from ..frame import Detections

COLOURS = {
    "disk_no_spiral": (120, 200, 255),
    "smooth": (255, 190, 90),
    "edge_on": (150, 255, 150),
    "spiral": (255, 130, 200),
}
"""RGB by coarse group."""


def annotate(
    pixels: np.ndarray,
    detections: Detections,
    classes: tuple[str, ...],
    abstain: float | None = None,
    longest: int | None = None,
) -> np.ndarray:
    """Draw boxes with names, or classes and probabilities, on a copy of an image.

    The pixels are (H, W, 3) uint8 RGB.

    Args:
        detections: with class probabilities; without them nothing is drawn. Catalogued objects are named.
        classes: names in the order of the probabilities.
        abstain: probability below which no class is named.
        longest: maximum length of the copy's longer side.
    """
    scale_down = min(1.0, longest / max(pixels.shape[:2])) if longest else 1.0
    image = shrink(pixels, scale_down) if scale_down < 1.0 else pixels.copy()
    if detections.probabilities is None:
        return image
    unit = max(1.0, min(image.shape[:2]) / 480)
    scale, thick = 0.42 * unit, max(1, round(unit))
    names = detections.names or ("",) * len(detections)
    for box, probabilities, object_name in zip(detections.boxes, detections.probabilities, names, strict=True):
        best = int(np.argmax(probabilities))
        name = display_label(probabilities, classes, abstain)
        is_class = name == classes[best]
        colour = COLOURS.get(shown_group(name) or "", (255, 255, 255))
        x0, y0, x1, y1 = (round(float(value) * scale_down) for value in box)
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
        text = object_name or (f"{name} {probabilities[best]:.0%}" if is_class else name)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        left = max(0, min(x0, image.shape[1] - width - 2))
        base = y0 - 4 if y0 - 4 - height > 0 else min(image.shape[0] - 3, y1 + height + 5)
        cv2.putText(image, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(image, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
    return image


def shrink(image: np.ndarray, scale: float) -> np.ndarray:
    """Reduce an image by averaging; `scale` is below 1."""
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Fit an image into width x height, centred on black.

    Return it unchanged if it has this size.
    """
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    inner = image
    if size != image.shape[1::-1]:
        inner = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if size == (width, height):
        return inner
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = inner
    return canvas
