"""Video files, live cameras and network streams, through OpenCV."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ...models.images.decoder import raw_of, to_rgb8
from ..errors import RunFailure, UsageError
from ..frame import Frame
from ..system.address import is_text, masked, readable
from ..system.buffer_pool import Buffers

FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
"""Seconds before a lost camera is opened again; doubled after each attempt that fails."""
STREAM_TIMEOUT_MS = 5000
"""After so long without a picture a stream is lost. A V4L2 camera is after 10 s, by OpenCV's own limit."""
BAND = 64
"""Rows that are turned from BGR to RGB at once."""
COUNTED = (".avi", ".mp4", ".mov", ".m4v")
"""Files that say how many frames they hold; of others it follows from how long they last, and a second may be amiss."""
FAILURES = 1000
"""Reads that fail, one after another, before a video has ended: behind a damaged place it may go on."""
GREY16 = b"Y1\0\x10"
"""FFmpeg's mark of grey pictures of 16 bits, which OpenCV makes 8-bit colour unless it is told not to."""


class Capture(Protocol):
    """What a camera is read through: OpenCV's, or one that keeps more of what it delivers."""

    def read(self, image: np.ndarray | None = None, /) -> tuple[bool, np.ndarray | None]:
        """Read a picture, into `image` where that fits; False where there is none."""

    def release(self) -> None:
        """Close it."""


class VideoFile:
    """Frames of a video file; their times count from when it is opened, at the video's own pace.

    Args:
        path: the file.
        on_lost: told in one line when frames are missing in the end, and at once when OpenCV cuts their depth.

    Raises:
        UsageError: it is no video.
    """

    continuous = True
    live = False
    reopened = 0

    def __init__(self, path: Path, on_lost: Callable[[str], None]) -> None:
        self.name = readable(str(path))
        self.bad = 0
        self._path = path
        self._on_lost = on_lost
        if not is_text(str(path)):
            raise UsageError(f"'{self.name}' cannot be opened: its name is no UTF-8 text; rename it")
        capture = opened(cv2.VideoCapture(str(path), cv2.CAP_FFMPEG))
        if capture is None:
            raise UsageError(f"'{path}' is not a video that can be decoded; it may be damaged or truncated")
        mark = _pixel_format(capture)
        if mark != GREY16 and (bits := _grey_bits(mark)) > 8:
            on_lost(
                f"{readable(path.name)}: of its {bits} bits of grey OpenCV keeps 8; all are read from a copy by "
                "ffmpeg -i FILE -pix_fmt gray16le -c:v ffv1 COPY.mkv"
            )
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._opened: cv2.VideoCapture | None = capture
        self.length: int | None = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode frame after frame, from the first on; what is damaged is passed over."""
        # Opening costs time and memory: what was opened to look at the file is read, the first time.
        capture, self._opened = self._opened or opened(cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)), None
        if capture is None:
            raise RunFailure(f"'{self._path}' cannot be opened again")
        make = _Frames(readable(self._path.name))
        began, at, failed = datetime.datetime.now(datetime.UTC), 0.0, 0
        rate = capture.get(cv2.CAP_PROP_FPS)
        try:
            while failed < FAILURES:
                image = make.read(capture)
                if image is None:
                    failed += 1
                    continue
                failed = 0
                at = capture.get(cv2.CAP_PROP_POS_MSEC)
                frame = make(image, began + datetime.timedelta(milliseconds=at))
                del image
                yield frame
                del frame
        finally:
            capture.release()
        if make.number == 0:
            raise RunFailure(f"'{self._path}' holds no frame that can be decoded")
        missing = max(0, (self.length or 0) - make.number)
        if self._path.suffix.lower() in COUNTED or (rate > 0 and at < 1000 * ((self.length or 0) / rate - 1)):
            self.bad = missing
        if self.bad:
            self._on_lost(incomplete(self._path.name, make.number, self.length))


def incomplete(name: str, frames: int, length: int | None) -> str:
    """Say in one line that a video did not give as many frames as it says to hold."""
    return f"{name}: {frames} of {length} frames could be read; the file is damaged or truncated"


class Camera:
    """A camera that delivers for as long as it lives; when it stops, it is opened again, with longer and longer waits.

    Args:
        name: what it is called, without a password: it is written, shown and published.
        open_it: opens it; None where that fails.
        on_lost: told in one line when it is lost and when it is back.

    Attributes:
        reopened: how often it was lost and came back.

    Raises:
        UsageError: it cannot be opened now.
    """

    continuous = True
    live = True
    length: int | None = None

    def __init__(
        self, name: str, open_it: Callable[[], Capture | None], on_lost: Callable[[str], None], why: str
    ) -> None:
        self.name = name
        self.bad = 0
        self.reopened = 0
        self._open = open_it
        self._on_lost = on_lost
        capture = open_it()
        if capture is None:
            raise UsageError(f"{name} cannot be opened as a camera: {why}")
        self._capture: Capture = capture

    def __iter__(self) -> Iterator[Frame]:
        """Read for ever."""
        make = _Frames(self.name)
        try:
            while True:
                image = make.read(self._capture)
                if image is None:
                    self._come_back(make.number)
                    continue
                frame = make(image, datetime.datetime.now(datetime.UTC))
                del image
                yield frame
                del frame
        finally:
            self._capture.release()

    def _come_back(self, frames: int) -> None:
        """Open the camera again, however long that takes."""
        self._capture.release()
        self._on_lost(f"{self.name} stopped delivering after {frames} frames; it is being opened again")
        wait = FIRST_WAIT
        while True:
            time.sleep(wait)
            capture = self._open()
            if capture is not None:
                break
            wait = min(2 * wait, LONGEST_WAIT)
        self._capture = capture
        self.reopened += 1
        self._on_lost(f"{self.name} is back")


def stream(url: str, on_lost: Callable[[str], None]) -> Camera:
    """Open an RTSP, HTTP (MJPEG) or other stream that FFmpeg reads; its password goes to FFmpeg alone."""
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
    why = "it does not answer, or is no video stream"
    if not is_text(url):
        raise UsageError(f"{readable(masked(url))} cannot be opened: an address is UTF-8 text")
    return Camera(masked(url), lambda: opened(cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)), on_lost, why)


def opened(capture: cv2.VideoCapture) -> cv2.VideoCapture | None:
    """Return a capture, or None where it could not be opened."""
    if capture.isOpened():
        if _pixel_format(capture) == GREY16:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture
    capture.release()
    return None


def _pixel_format(capture: cv2.VideoCapture) -> bytes:
    """Return FFmpeg's mark of the decoded pictures, four bytes."""
    return (int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF).to_bytes(4, "little")


def _grey_bits(mark: bytes) -> int:
    """Return the depth that a mark of deep grey tells, either byte first (libavcodec/raw.c); 0 of any other."""
    if mark.startswith(b"Y1\0"):
        return mark[3]
    return mark[0] if mark.endswith(b"\x001Y") else 0


class _Frames:
    """Makes frames of what OpenCV delivers: BGR, or one channel, of any depth; in memory that is used again.

    Attributes:
        number: frames made so far.
    """

    def __init__(self, source: str) -> None:
        self.number = 0
        self._source = source
        self._buffers = Buffers()
        self._shape: tuple[int, ...] | None = None

    def read(self, capture: Capture) -> np.ndarray | None:
        """Read a picture; None where there is none."""
        there, image = capture.read(self._buffers.take(self._shape) if self._shape else None)
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
