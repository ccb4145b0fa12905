"""Configure OpenCV captures and turn what they deliver into frames."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np

from ...errors import ImageError
from ...models.images.development import Development
from ...models.images.headers import read_header
from ...models.images.memory import resident_bytes
from ...models.images.stretch import to_rgb8
from ..frame import Frame
from ..system.buffer_pool import FrameBufferPool
from .ffmpeg_limits import LimitedCapture, check_frame_size, check_memory_in_use, code_of
from .image_frame import developed_frame

BAND = 64
"""Rows that are converted from BGR to RGB at once."""
GREY16 = b"Y1\0\x10"
"""FFmpeg's code of 16-bit grey, which OpenCV converts to 8-bit colour unless CONVERT_RGB is off."""


OpenCvCapture = TypeVar("OpenCvCapture", cv2.VideoCapture, LimitedCapture)


class CaptureError(Exception):
    """A camera that cannot be opened or delivers nothing.

    The text gives the reason, without the camera's name.
    """


@dataclass(frozen=True)
class FrameInfo:
    """What a camera gives with an image.

    Attributes:
        cfa: Bayer pattern of a mosaic, as it is stored; None where it is not a mosaic.
        time: UTC start of the exposure; None where the camera does not give it.
        header: FITS keywords.
    """

    cfa: str | None = None
    time: datetime.datetime | None = None
    header: dict[str, Any] = field(default_factory=dict)


class Capture(Protocol):
    """The interface of cameras: OpenCV's, or one that keeps their depth.

    It may have an attribute `info`, the `FrameInfo` of the image that was read last.
    """

    def read(self, image: np.ndarray | None = None, /) -> tuple[bool, np.ndarray | None]:
        """Read an image, into `image` where it fits; False where there is none."""

    def release(self) -> None:
        """Close it."""


def configure_capture(capture: OpenCvCapture) -> OpenCvCapture | None:
    """Return an opened capture, set to keep 16-bit grey.

    None if it could not be opened.
    """
    if capture.isOpened():
        if code_of(capture, cv2.CAP_PROP_CODEC_PIXEL_FORMAT) == GREY16:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture
    capture.release()
    return None


class JpegScout:
    """A reader of Motion JPEG frames, one ahead of the decoder.

    It does not decode them.

    The file states a size of its own, which is checked on opening; but a frame may be of any size.

    Args:
        path: the file.
        name: for the message.
    """

    def __init__(self, path: str, name: str) -> None:
        self._name = name
        self._capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])

    def check_next(self) -> None:
        """Check the size of the next frame.

        Raises:
            ImageError: it is too large for the memory.
        """
        available, packet = self._capture.read()
        content = packet.tobytes() if available else b""
        if content.startswith(b"\xff\xd8"):
            try:
                header = read_header(content, self._name)
            except ImageError:
                return  # a damaged frame, which the decoder reports
            check_frame_size(header.width, header.height, self._name)

    def release(self) -> None:
        """Close the file."""
        self._capture.release()


def grey_bits(code: bytes) -> int:
    """Return the depth of a grey pixel code of more than 8 bits; 0 of others.

    Both byte orders are known (libavcodec/raw.c).
    """
    if code.startswith(b"Y1\0"):
        return code[3]
    return code[0] if code.endswith(b"\x001Y") else 0


def colour_bits(code: bytes) -> int:
    """Return the depth per colour of a pixel code of more than 8 bits; 0 of others."""
    if code[:2] in (b"Y3", b"G3"):
        return code[3]
    if code[2:] in (b"3Y", b"3G"):
        return code[0]
    return {b"RGB0": 16, b"BGR0": 16, b"0RGB": 16, b"0BGR": 16}.get(code, 0)


class FrameBuilder:
    """A builder of frames, in reused memory, from what OpenCV delivers.

    That is BGR or one channel, of any depth.

    Args:
        source: name of the source.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Attributes:
        number: frames built so far.
    """

    def __init__(self, source: str, development: Development | None = None) -> None:
        self.number = 0
        self._development = development
        self._source = source
        self._resident_before = resident_bytes()
        self._buffers = FrameBufferPool()
        self._shape: tuple[int, ...] | None = None

    def read(self, capture: Capture) -> np.ndarray | None:
        """Read an image; None where there is none.

        Raises:
            ImageError: the decoder takes too much memory.
        """
        available, image = capture.read(self._buffers.acquire(self._shape) if self._shape else None)
        before, self._shape = self._shape, None
        pixels = 0 if image is None else image.shape[0] * image.shape[1]
        check_memory_in_use(pixels, self._source, self._resident_before)
        if not available or image is None:
            return None
        if image.ndim == 3 and image.dtype == np.uint8:
            self._shape = image.shape
            if before != image.shape:
                self._buffers.adopt(image)  # freed, it would fragment the heap
        return image

    def __call__(self, image: np.ndarray, time: datetime.datetime, info: FrameInfo | None = None) -> Frame:
        """Make the next frame of an image, in place where that is possible.

        Args:
            image: (H, W, 3) BGR, or (H, W).
            time: of reading; used where `info` has none.
            info: what the camera gave with the image.
        """
        self.number += 1
        info = info or FrameInfo()
        time = info.time or time
        if image.ndim == 3:
            _swap_red_and_blue(image)
        if image.dtype != np.uint8:
            frame = developed_frame(image, info.cfa, self._development, time, self._source, self.number - 1)
            return replace(frame, header=info.header) if info.header else frame
        pixels = image if image.ndim == 3 else to_rgb8(image)[0]
        return Frame(pixels, time, self._source, self.number - 1, header=info.header)


def _swap_red_and_blue(image: np.ndarray) -> None:
    """Convert BGR to RGB in place, in bands: OpenCV would copy a whole image."""
    for top in range(0, len(image), BAND):
        band = image[top : top + BAND]
        cv2.cvtColor(band, cv2.COLOR_BGR2RGB, dst=band)
