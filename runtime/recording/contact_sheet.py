"""A contact sheet of annotated frames."""

from __future__ import annotations

import cv2
import numpy as np

from .annotate import TILE, fit


class ContactSheet:
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
