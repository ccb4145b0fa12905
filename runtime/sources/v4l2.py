"""V4L2 cameras, through OpenCV; grey of 10, 12 and 16 bits keeps its depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ...errors import UsageError
from .camera import Camera
from .capture import Capture, configure_capture

RAW_FORMATS = {b"Y16 ": "<u2", b"Y16\xa0": ">u2", b"Y12 ": "<u2", b"Y10 ": "<u2"}
"""The kernel's marks of grey in words of 16 bits, and how their bytes lie (linux/videodev2.h, pixfmt-yuv-luma)."""


def v4l2_camera(index: int, on_lost: Callable[[str], None]) -> Camera:
    """Open /dev/videoN."""
    name = f"/dev/video{index}"
    if not Path(name).exists():
        there = sorted(str(path) for path in Path("/dev").glob("video*"))
        attached = f"there are {', '.join(there)}" if there else "no camera is attached"
        raise UsageError(f"there is no camera {name}; {attached}")
    why = "another program may hold it, or you may not be in the group video"
    return Camera(name, lambda: _keep_depth(configure_capture(cv2.VideoCapture(index, cv2.CAP_V4L2))), on_lost, why)


def _keep_depth(capture: cv2.VideoCapture | None) -> Capture | None:
    """Read a camera that OpenCV set to deep grey as it is: OpenCV would keep the upper 8 bits, in three channels."""
    if capture is None:
        return None
    order = RAW_FORMATS.get((int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little"))
    return capture if order is None else RawGreyCapture(capture, order)


class RawGreyCapture:
    """The words of a V4L2 camera of grey, (H, W) uint16, in the place of an OpenCV capture.

    Args:
        capture: opened, and set to a format of DEEP.
        order: the type of a word in the camera's memory, ``<u2`` or ``>u2``.
    """

    def __init__(self, capture: cv2.VideoCapture, order: str) -> None:
        self._capture = capture
        self._order = order
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._shape = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))

    def read(self, _: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Read a picture; False where there is none, or not all of one."""
        there, content = self._capture.read()
        height, width = self._shape
        # OpenCV 4 gives bytes in one row, OpenCV 5 words, whose bytes it leaves as they lie: both are the camera's
        # memory, in which more may follow upon the picture.
        if not there or content.nbytes < 2 * height * width:
            return False, None
        words = np.frombuffer(content, self._order, height * width).reshape(self._shape)
        return True, words.astype(np.uint16, copy=False)

    def release(self) -> None:
        """Close the camera."""
        self._capture.release()
