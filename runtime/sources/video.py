"""Video files, live cameras and network streams, through OpenCV."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from ...errors import UsageError
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import is_text, printable_name
from .capture import GREY16, FrameBuilder, configure_capture, grey_bits, pixel_format

STREAM_TIMEOUT_MS = 5000
"""After so long without a picture a stream is lost. A V4L2 camera is after 10 s, by OpenCV's own limit."""
EXACT_COUNT_SUFFIXES = (".avi", ".mp4", ".mov", ".m4v")
"""Files that say how many frames they hold; of others it follows from how long they last, and a second may be amiss."""
MAX_FAILURES = 1000
"""Reads that fail, one after another, before a video has ended: behind a damaged place it may go on."""


class VideoSource:
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
        self.name = printable_name(str(path))
        self.bad = 0
        self._path = path
        self._on_lost = on_lost
        if not is_text(str(path)):
            raise UsageError(f"'{self.name}' cannot be opened: its name is no UTF-8 text; rename it")
        capture = configure_capture(cv2.VideoCapture(str(path), cv2.CAP_FFMPEG))
        if capture is None:
            raise UsageError(f"'{path}' is not a video that can be decoded; it may be damaged or truncated")
        mark = pixel_format(capture)
        if mark != GREY16 and (bits := grey_bits(mark)) > 8:
            on_lost(
                f"{printable_name(path.name)}: of its {bits} bits of grey OpenCV keeps 8; all are read from a copy by "
                "ffmpeg -i FILE -pix_fmt gray16le -c:v ffv1 COPY.mkv"
            )
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._opened: cv2.VideoCapture | None = capture
        self.length: int | None = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode frame after frame, from the first on; what is damaged is passed over."""
        # Opening costs time and memory: what was opened to look at the file is read, the first time.
        capture, self._opened = (
            self._opened or configure_capture(cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)),
            None,
        )
        if capture is None:
            raise RunFailure(f"'{self._path}' cannot be opened again")
        make = FrameBuilder(printable_name(self._path.name))
        began, at, failed = datetime.datetime.now(datetime.UTC), 0.0, 0
        rate = capture.get(cv2.CAP_PROP_FPS)
        try:
            while failed < MAX_FAILURES:
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
        if self._path.suffix.lower() in EXACT_COUNT_SUFFIXES or (
            rate > 0 and at < 1000 * ((self.length or 0) / rate - 1)
        ):
            self.bad = missing
        if self.bad:
            self._on_lost(describe_missing_frames(self._path.name, make.number, self.length))


def describe_missing_frames(name: str, frames: int, length: int | None) -> str:
    """Say in one line that a video did not give as many frames as it says to hold."""
    return f"{name}: {frames} of {length} frames could be read; the file is damaged or truncated"
