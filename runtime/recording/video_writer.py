"""The annotated video of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ...files import fsync_directory, fsync_files
from ..system.address import is_text, printable_name
from ..system.native_output import suppress_native_stderr
from .annotate import fit

logger = logging.getLogger(__name__)

RATE = 12.0
LONGEST_SIDE = 720
"""Maximum width and height in pixels: encoding takes longer than detection in larger frames."""
BLOCK = 256 << 10
"""Size in bytes of the blocks that FFmpeg writes: a file with a lower limit would exceed it immediately."""


class VideoWriter:
    """A VP8 video in WebM, which browsers play.

    OpenCV's wheels have no H.264 encoder. The file plays while it is written, too: a killed process leaves what it
    wrote.

    Args:
        path: of the file, named ``.webm``.
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
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
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
            # VP8 at half resolution of colour needs even sides.
            scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
            width, height = (max(2, int(side * scale) // 2 * 2) for side in image.shape[1::-1])
            self._frame_size = (width, height)
            code = cv2.VideoWriter.fourcc(*"VP80")
            with suppress_native_stderr():  # OpenCV prints that it finds VP8's code by itself
                self._writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, code, RATE, self._frame_size)
            if not self._writer.isOpened():
                self._over = True
                logger.warning("%s cannot be written: OpenCV has no VP8 encoder here; detection continues", self.path)
                return
        self._writer.write(cv2.cvtColor(fit(image, *self._frame_size), cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        """Complete the file, check it and flush it to the disk.

        Delete it if it is incomplete.
        """
        if self._over:
            return
        self._over = True
        if self._writer is None:
            return
        self._writer.release()
        try:
            if not _is_complete(self.path, self._frames):  # OpenCV does not report a full disk
                self.path.unlink(missing_ok=True)
                logger.warning("%s could not be completed and was deleted: the disk is full", self.path)
                return
            fsync_files([self.path])
            fsync_directory(self.path.parent)
        except OSError as error:
            self.path.unlink(missing_ok=True)
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
