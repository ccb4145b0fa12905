"""The annotated video of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..system.address import is_text, printable_name
from ..system.atomic_files import commit_staged, staging_path
from .annotate import fit

RATE = 12.0
WIDEST = 1280
BLOCK = 256 << 10
"""FFmpeg writes so many bytes at once: a file that may not grow to this size is over its limit with the first."""


class VideoWriter:
    """An MPEG-4 file that is there once it is complete.

    Args:
        path: where it will be.
        alert: told if it cannot be written, or not to the end.
        may_grow: tells, by its bytes so far, whether there is room for more; where not, it ends early, or is not begun.
    """

    def __init__(
        self, path: Path, alert: Callable[[str], None], may_grow: Callable[[int], bool] = lambda _: True
    ) -> None:
        self.path = path
        self._alert = alert
        self._may_grow = may_grow
        self._writer: cv2.VideoWriter | None = None
        self._picture_size = (0, 0)
        self._frames = 0
        self._over = not is_text(str(path))
        if self._over:
            alert(f"{printable_name(str(path))} cannot be written: its name is no UTF-8 text; detection goes on")

    def size(self) -> int:
        """Bytes on the disk so far."""
        if self._writer is None:
            return 0
        for path in (staging_path(self.path), self.path):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def write(self, picture: np.ndarray) -> None:
        """Add an annotated frame, (H, W, 3) uint8 RGB."""
        if self._over:
            return
        if not self._may_grow(self.size() if self._writer else BLOCK):
            what = f"ends after {self._frames} frames" if self._writer else "is not begun"
            self._alert(f"{self.path} {what}, for the disk or the quota is small or nearly full; detection goes on")
            self.close()
            return
        if self._writer is None:
            # MPEG-4 wants even sides; a 4K run is not kept at full size.
            scale = min(1.0, WIDEST / picture.shape[1])
            width, height = (max(2, int(side * scale) // 2 * 2) for side in picture.shape[1::-1])
            self._picture_size = (width, height)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(staging_path(self.path)), code, RATE, self._picture_size)
            if not self._writer.isOpened():
                self._over = True
                self._alert(f"{self.path} cannot be written as a video; detection goes on")
                return
        self._writer.write(cv2.cvtColor(fit(picture, *self._picture_size), cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        """Complete the file, see whether it is whole, and move it to its place; what is not whole is deleted."""
        if self._over:
            return
        self._over = True
        if self._writer is None:
            return
        self._writer.release()
        part = staging_path(self.path)
        try:
            if not _plays(part, self._frames):  # OpenCV does not tell when the disk takes no more
                part.unlink(missing_ok=True)
                self._alert(f"{self.path} could not be completed and was deleted: the disk did not take all of it")
                return
            commit_staged(self.path)
        except OSError as problem:
            part.unlink(missing_ok=True)
            self._alert(f"{self.path} could not be completed: {problem.strerror}")


def _plays(path: Path, frames: int) -> bool:
    """Tell whether a video has so many frames, and the last can be decoded."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) != frames:
            return False
        capture.set(cv2.CAP_PROP_POS_FRAMES, frames - 1)
        return capture.read()[0]
    finally:
        capture.release()
