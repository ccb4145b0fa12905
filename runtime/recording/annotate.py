"""Draw what was found: boxes with names on a frame, and sheets of several frames."""

from __future__ import annotations

import cv2
import numpy as np

from ..events.frame_record import UNCERTAIN, label
from ..frame import Detections

TILE = (640, 480)
"""Width and height of a frame on a sheet of several."""
COLOURS = {
    "disk_no_spiral": (120, 200, 255),
    "smooth": (255, 190, 90),
    "edge_on": (150, 255, 150),
    "spiral": (255, 130, 200),
}
"""RGB by coarse group."""


def annotate(
    pixels: np.ndarray,
    named: Detections,
    classes: tuple[str, ...],
    abstain: float | None = None,
    longest: int | None = None,
) -> np.ndarray:
    """Draw boxes, class names and probabilities on a copy of (H, W, 3) uint8 RGB pixels.

    Args:
        abstain: probability below which no class is named.
        longest: the copy's longer side is this at most.
    """
    scale_down = min(1.0, longest / max(pixels.shape[:2])) if longest else 1.0
    picture = shrink(pixels, scale_down) if scale_down < 1.0 else pixels.copy()
    if named.probabilities is None:
        return picture
    unit = max(1.0, min(picture.shape[:2]) / 480)
    scale, thick = 0.42 * unit, max(1, round(unit))
    for box, probabilities in zip(named.boxes, named.probabilities, strict=True):
        best = int(np.argmax(probabilities))
        name = label(probabilities, classes, abstain)
        colour = next((c for group, c in COLOURS.items() if name.startswith(group)), (255, 255, 255))
        x0, y0, x1, y1 = (round(float(value) * scale_down) for value in box)
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)
        text = name if name == UNCERTAIN else f"{name} {probabilities[best]:.0%}"
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        left = max(0, min(x0, picture.shape[1] - width - 2))
        base = y0 - 4 if y0 - 4 - height > 0 else min(picture.shape[0] - 3, y1 + height + 5)
        cv2.putText(picture, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(picture, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
    return picture


def shrink(picture: np.ndarray, scale: float) -> np.ndarray:
    """Make a picture smaller by averaging; `scale` below 1."""
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Fit a picture into width x height, centred on black; one that fits is returned itself."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    inner = picture
    if size != picture.shape[1::-1]:
        inner = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if size == (width, height):
        return inner
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = inner
    return canvas


class Sheet:
    """A sample of frames, evenly spread over a run of unknown length, for one contact sheet."""

    def __init__(self, limit: int = 12) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._first: np.ndarray | None = None
        self._kept: list[np.ndarray] = []

    def wants(self) -> bool:
        """Tell whether the next frame would be kept; call once a frame, then `add` if so."""
        self._offered += 1
        return (self._offered - 1) % self._stride == 0

    def add(self, picture: np.ndarray) -> None:
        """Keep an annotated frame (H, W, 3); when the sheet is full, every second one goes and the stride doubles."""
        if not self._kept:
            self._first = picture  # at its own size for as long as it is alone
        else:
            self._first = None
        # As JPEG: a sheet is made at the end, and the run should not carry it.
        self._kept.append(cv2.imencode(".jpg", fit(picture, *TILE), [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
        if len(self._kept) > self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def picture(self) -> np.ndarray | None:
        """Compose the sheet; a single frame is shown at its own size. None if there was no frame."""
        if len(self._kept) <= 1:
            return self._first
        columns = 2 if len(self._kept) <= 4 else 3
        width, height = TILE
        sheet: np.ndarray = np.zeros((-(-len(self._kept) // columns) * height, columns * width, 3), np.uint8)
        for place, one in enumerate(self._kept):  # one at a time: decoded, all of them are as large as the sheet
            top, left = place // columns * height, place % columns * width
            sheet[top : top + height, left : left + width] = cv2.imdecode(one, cv2.IMREAD_COLOR)
        return sheet
