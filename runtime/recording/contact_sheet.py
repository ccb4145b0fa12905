"""A contact sheet of annotated frames."""

from __future__ import annotations

import cv2
import numpy as np

from ..imaging.encoding import encode_image
from .annotate import TILE, fit

QUALITY = 95


class ContactSheet:
    """A sample of frames, evenly spread over a run of unknown length.

    Args:
        limit: maximum number of frames.
    """

    def __init__(self, limit: int = 12) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._first: np.ndarray | None = None
        self._kept: list[bytes] = []

    def wants_next(self) -> bool:
        """Return whether the next frame is part of the sample.

        Call once a frame, then `add` if so.
        """
        self._offered += 1
        return (self._offered - 1) % self._stride == 0

    def add(self, image: np.ndarray) -> None:
        """Add an annotated frame, (H, W, 3) uint8 RGB.

        When the sheet is full, every second frame is dropped and the stride doubles.
        """
        self._first = None if self._kept else image  # a single frame is shown at its own size
        # Kept as JPEG: the sheet is only composed at the end, and the run should not hold the pixels.
        self._kept.append(encode_image(fit(image, *TILE), ".jpg", QUALITY))
        if len(self._kept) > self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def compose(self) -> np.ndarray | None:
        """Compose the sheet, (H, W, 3) uint8 RGB; a single frame keeps its size.

        None if there was no frame.
        """
        if len(self._kept) <= 1:
            return self._first
        columns = 2 if len(self._kept) <= 4 else 3
        width, height = TILE
        sheet: np.ndarray = np.zeros((-(-len(self._kept) // columns) * height, columns * width, 3), np.uint8)
        for index, content in enumerate(self._kept):  # one at a time: all of them decoded are as large as the sheet
            top, left = index // columns * height, index % columns * width
            tile = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            assert tile is not None
            sheet[top : top + height, left : left + width] = tile[..., ::-1]
        return sheet
