"""Configure OpenCV captures and turn what they deliver into frames."""

from __future__ import annotations

import datetime
from typing import Protocol

import cv2
import numpy as np

from ...models.images.stretch import raw_of, to_rgb8
from ..frame import Frame
from ..system.buffer_pool import FrameBufferPool


class Capture(Protocol):
    """What a camera is read through: OpenCV's, or one that keeps more of what it delivers."""

    def read(self, image: np.ndarray | None = None, /) -> tuple[bool, np.ndarray | None]:
        """Read a picture, into `image` where that fits; False where there is none."""

    def release(self) -> None:
        """Close it."""


def configure_capture(capture: cv2.VideoCapture) -> cv2.VideoCapture | None:
    """Return a capture, or None where it could not be opened."""
    if capture.isOpened():
        if pixel_format(capture) == GREY16:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture
    capture.release()
    return None


def pixel_format(capture: cv2.VideoCapture) -> bytes:
    """Return FFmpeg's mark of the decoded pictures, four bytes."""
    return (int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF).to_bytes(4, "little")


def grey_bits(mark: bytes) -> int:
    """Return the depth that a mark of deep grey tells, either byte first (libavcodec/raw.c); 0 of any other."""
    if mark.startswith(b"Y1\0"):
        return mark[3]
    return mark[0] if mark.endswith(b"\x001Y") else 0


class FrameBuilder:
    """Makes frames of what OpenCV delivers: BGR, or one channel, of any depth; in memory that is used again.

    Attributes:
        number: frames made so far.
    """

    def __init__(self, source: str) -> None:
        self.number = 0
        self._source = source
        self._buffers = FrameBufferPool()
        self._shape: tuple[int, ...] | None = None

    def read(self, capture: Capture) -> np.ndarray | None:
        """Read a picture; None where there is none."""
        there, image = capture.read(self._buffers.acquire(self._shape) if self._shape else None)
        before, self._shape = self._shape, None
        if not there or image is None:
            return None
        if image.ndim == 3 and image.dtype == np.uint8:
            self._shape = image.shape
            if before != image.shape:
                self._buffers.adopt(image)  # else it would leave a hole in the heap that no later frame fits into
        return image

    def __call__(self, image: np.ndarray, time: datetime.datetime) -> Frame:
        """Make the next frame of a picture, in its own memory where that is possible."""
        stretch, raw = None, None
        if image.ndim == 3:
            _swap_red_and_blue(image)
        if image.ndim == 3 and image.dtype == np.uint8:
            pixels = image
        else:
            (pixels, stretch), raw = to_rgb8(image), raw_of(image)
        self.number += 1
        return Frame(pixels, time, self._source, self.number - 1, stretch, raw=raw)


def _swap_red_and_blue(image: np.ndarray) -> None:
    """Turn BGR into RGB in its own memory, band by band: OpenCV copies what it converts in place."""
    for top in range(0, len(image), BAND):
        band = image[top : top + BAND]
        cv2.cvtColor(band, cv2.COLOR_BGR2RGB, dst=band)


BAND = 64
"""Rows that are turned from BGR to RGB at once."""


GREY16 = b"Y1\0\x10"
"""FFmpeg's mark of grey pictures of 16 bits, which OpenCV makes 8-bit colour unless it is told not to."""
