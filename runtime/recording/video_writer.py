"""The annotated video of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ...files import commit_staged, staging_path
from ..system.address import is_text, printable_name
from .annotate import fit

logger = logging.getLogger(__name__)

RATE = 12.0
WIDEST = 1280
BLOCK = 256 << 10
"""Size in bytes of the blocks that FFmpeg writes: a file with a lower limit would exceed it immediately."""


class VideoWriter:
    """An MPEG-4 file that appears once it is complete.

    Args:
        path: of the finished file.
        may_grow: called with its size in bytes; if it returns False, the video ends early or is not started.
    """

    def __init__(self, path: Path, may_grow: Callable[[int], bool] = lambda _: True) -> None:
        self.path = path
        self._may_grow = may_grow
        self._writer: cv2.VideoWriter | None = None
        self._frame_size = (0, 0)
        self._frames = 0
        self._over = not is_text(str(path))
        if self._over:
            logger.warning(
                "%s cannot be written: its name is not UTF-8; detection continues", printable_name(str(path))
            )

    def size(self) -> int:
        """Return the size on the disk so far, in bytes."""
        if self._writer is None:
            return 0
        for path in (staging_path(self.path), self.path):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def write(self, image: np.ndarray) -> None:
        """Add an annotated frame, (H, W, 3) uint8 RGB."""
        if self._over:
            return
        if not self._may_grow(self.size() if self._writer else BLOCK):
            consequence = f"ends after {self._frames} frames" if self._writer else "is not started"
            reason = "the disk or the quota is small or nearly full"
            logger.warning("%s %s, because %s; detection continues", self.path, consequence, reason)
            self.close()
            return
        if self._writer is None:
            # MPEG-4 needs even sides; 4K frames are reduced.
            scale = min(1.0, WIDEST / image.shape[1])
            width, height = (max(2, int(side * scale) // 2 * 2) for side in image.shape[1::-1])
            self._frame_size = (width, height)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(staging_path(self.path)), code, RATE, self._frame_size)
            if not self._writer.isOpened():
                self._over = True
                logger.warning("%s cannot be written as a video; detection continues", self.path)
                return
        self._writer.write(cv2.cvtColor(fit(image, *self._frame_size), cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        """Complete the file, check it and rename it to `path`.

        Delete it if it is incomplete.
        """
        if self._over:
            return
        self._over = True
        if self._writer is None:
            return
        self._writer.release()
        staged = staging_path(self.path)
        try:
            if not _is_complete(staged, self._frames):  # OpenCV does not report a full disk
                staged.unlink(missing_ok=True)
                logger.warning("%s could not be completed and was deleted: the disk is full", self.path)
                return
            commit_staged(self.path)
        except OSError as error:
            staged.unlink(missing_ok=True)
            logger.warning("%s could not be completed: %s", self.path, error.strerror)


def _is_complete(path: Path, frames: int) -> bool:
    """Return whether a video has `frames` frames and the last one can be decoded."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) != frames:
            return False
        capture.set(cv2.CAP_PROP_POS_FRAMES, frames - 1)
        return capture.read()[0]
    finally:
        capture.release()
