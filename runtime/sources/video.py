"""Video files, through OpenCV and FFmpeg."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2

from ...errors import ImageError, UsageError
from ...models.images.development import Development
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import is_text, printable_name
from .capture import (
    GREY16,
    FrameBuilder,
    JpegScout,
    colour_bits,
    configure_capture,
    grey_bits,
)
from .ffmpeg_limits import LimitedCapture, check_capture, code_of

STREAM_TIMEOUT_MS = 5000
"""Time without an image after which a stream counts as lost. For V4L2 cameras OpenCV's own limit is 10 s."""
EXACT_COUNT_SUFFIXES = (".avi", ".mp4", ".mov", ".m4v")
"""Files that state how many frames they hold; for others it is computed from the duration and may be a second off."""
RGB555 = b"RGB\x0f"
MAX_FAILURES = 1000
"""Number of successive reads that fail before a video counts as ended: it may continue after a damaged part."""

logger = logging.getLogger(__name__)


class VideoSource:
    """Frames of a video file.

    Their times count from when it is opened, at the video's own pace.

    Logged as warnings: frames that are missing at the end, and a depth that OpenCV cuts.

    Args:
        path: the file.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Raises:
        ImageError: its frames are too small, or too large for the memory.
        UsageError: it is not a video.
    """

    continuous = True
    live = False
    reopened = 0

    def __init__(self, path: Path, development: Development | None = None) -> None:
        self.name = printable_name(str(path))
        self.bad = 0
        self._path = path
        self._development = development
        if not is_text(str(path)):
            raise UsageError(f"'{self.name}' cannot be opened: its name is not UTF-8 text; rename it")
        capture = configure_capture(LimitedCapture(str(path)))
        if capture is None:
            raise UsageError(f"'{path}' is not a video that can be decoded; it may be damaged or truncated")
        try:
            check_capture(capture, printable_name(path.name))
        except ImageError:
            capture.release()
            raise
        code = code_of(capture, cv2.CAP_PROP_CODEC_PIXEL_FORMAT)
        if remark := depth_remark(code):
            logger.warning("%s: %s", printable_name(path.name), remark)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._opened: LimitedCapture | None = capture
        self.length: int | None = count if count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode all frames from the first; skip damaged parts."""
        # Opening costs time and memory: the capture that the constructor opened is used for the first pass.
        capture, self._opened = (
            self._opened or configure_capture(LimitedCapture(str(self._path))),
            None,
        )
        if capture is None:
            raise RunFailure(f"'{self._path}' cannot be opened again")
        builder = FrameBuilder(printable_name(self._path.name), self._development)
        began, position, failures, damaged = datetime.datetime.now(datetime.UTC), 0.0, 0, 0
        rate = capture.get(cv2.CAP_PROP_FPS)
        is_jpeg = code_of(capture, cv2.CAP_PROP_FOURCC) == b"MJPG"
        scout = JpegScout(str(self._path), printable_name(self._path.name)) if is_jpeg else None
        try:
            while failures < MAX_FAILURES:
                if scout:
                    scout.check_next()
                image = builder.read(capture)
                if image is None:
                    failures += 1
                    continue
                damaged, failures = damaged + failures, 0
                if builder.number == 0:  # a recording may start late: its duration, and so the count, is from zero
                    start = int(capture.get(cv2.CAP_PROP_PTS))
                    self.length = self.length - start if self.length and 0 < start < self.length else self.length
                position = capture.get(cv2.CAP_PROP_POS_MSEC)
                frame = builder(image, began + datetime.timedelta(milliseconds=position))
                del image
                yield frame
                del frame
        except ImageError as error:
            raise RunFailure(f"{error}; the frames before it were processed") from None
        finally:
            capture.release()
            if scout:
                scout.release()
        if builder.number == 0:
            raise RunFailure(f"'{self._path}' holds no frame that can be decoded")
        ended_early = rate > 0 and position < 1000 * ((self.length or 0) / rate - 1)
        # Frames that a camera dropped are counted in the file, but have no content: the file is not damaged.
        if ended_early or (damaged and self._path.suffix.lower() in EXACT_COUNT_SUFFIXES):
            self.bad = max(0, (self.length or 0) - builder.number)
        if self.bad:
            logger.warning("%s", describe_missing_frames(self._path.name, builder.number, self.length))


def depth_remark(code: bytes) -> str:
    """Return what is lost of frames of this pixel code; "" if nothing is.

    Args:
        code: of FFmpeg, four bytes.
    """
    if code == RGB555:
        return (
            "its frames are stored as 5 bits of each colour; if the camera is monochrome, the capture program has "
            "stored 16-bit grey under a wrong name: record SER"
        )
    if code != GREY16 and (bits := grey_bits(code)) > 8:
        return (
            f"of its {bits} bits of grey OpenCV keeps 8; all are read from a copy by "
            "ffmpeg -i FILE -pix_fmt gray16le -c:v ffv1 COPY.mkv"
        )
    bits = colour_bits(code)
    return f"of its {bits} bits of each colour OpenCV keeps 8" if bits > 8 else ""


def describe_missing_frames(name: str, frames: int, length: int | None) -> str:
    """Return a message that a video has fewer frames than it states."""
    return f"{name}: {frames} of {length} frames could be read; the file is damaged or truncated"
