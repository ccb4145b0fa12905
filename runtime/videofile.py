"""The annotated video of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from .draw import fit
from .files import beside, finish

RATE = 12.0
WIDEST = 1280


class VideoOut:
    """An MPEG-4 file that is there once it is complete.

    Args:
        path: where it will be.
        alert: told if it cannot be written.
    """

    def __init__(self, path: Path, alert: Callable[[str], None]) -> None:
        self.path = path
        self._alert = alert
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._failed = False

    def write(self, picture: np.ndarray) -> None:
        """Add an annotated frame, (H, W, 3) uint8 RGB."""
        if self._failed:
            return
        if self._writer is None:
            # MPEG-4 wants even sides; a 4K run is not kept at full size.
            scale = min(1.0, WIDEST / picture.shape[1])
            height, width = (max(2, int(side * scale) // 2 * 2) for side in picture.shape[:2])
            self._size = (width, height)
            self._writer = cv2.VideoWriter(str(beside(self.path)), cv2.VideoWriter.fourcc(*"mp4v"), RATE, self._size)
            if not self._writer.isOpened():
                self._failed = True
                self._alert(f"{self.path} cannot be written as a video; detection goes on")
                return
        self._writer.write(cv2.cvtColor(fit(picture, *self._size), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Complete the file and move it to its place."""
        if self._writer is None or self._failed:
            return
        self._writer.release()
        try:
            finish(self.path)
        except OSError as problem:
            self._alert(f"{self.path} could not be completed: {problem.strerror}")
