"""Cameras and network streams, which are reopened when they stop delivering."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterator

import cv2

from ...errors import UsageError
from ...models.images.development import Development
from ..frame import Frame
from ..system.address import is_text, printable_name, redact_credentials
from .capture import Capture, FrameBuilder, configure_capture
from .ffmpeg_limits import limit_ffmpeg, redirects
from .video import STREAM_TIMEOUT_MS

MIN_WAIT, MAX_WAIT = 0.25, 30.0
"""Seconds before a lost camera is reopened; doubled after each attempt that fails."""

logger = logging.getLogger(__name__)


class Camera:
    """A camera that is read until the run ends; when it stops delivering, it is reopened with increasing waits.

    A lost camera and its return are logged as warnings.

    Args:
        name: its name without a password: it is written, shown and published.
        open_capture: opens it; returns None where that fails.
        hint: why it may fail to open, for the error message.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Attributes:
        reopened: how often it was lost and came back.

    Raises:
        UsageError: it cannot be opened now.
    """

    continuous = True
    live = True
    length: int | None = None

    def __init__(
        self, name: str, open_capture: Callable[[], Capture | None], hint: str, development: Development | None = None
    ) -> None:
        self.name = name
        self.bad = 0
        self.reopened = 0
        self._open = open_capture
        self._development = development
        capture = open_capture()
        if capture is None:
            raise UsageError(f"{name} cannot be opened as a camera: {hint}")
        self._capture: Capture = capture

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames without end."""
        builder = FrameBuilder(self.name, self._development)
        try:
            while True:
                image = builder.read(self._capture)
                if image is None:
                    self._reconnect(builder.number)
                    continue
                cfa = getattr(self._capture, "cfa", None)
                frame = builder(image, datetime.datetime.now(datetime.UTC), cfa)
                del image
                yield frame
                del frame
        finally:
            self._capture.release()

    def _reconnect(self, frames: int) -> None:
        """Reopen the camera, however long that takes."""
        self._capture.release()
        logger.warning("%s stopped delivering after %d frames; it is being reopened", self.name, frames)
        wait = MIN_WAIT
        while True:
            time.sleep(wait)
            capture = self._open()
            if capture is not None:
                break
            wait = min(2 * wait, MAX_WAIT)
        self._capture = capture
        self.reopened += 1
        logger.warning("%s is back", self.name)


def stream(url: str, development: Development | None = None) -> Camera:
    """Open an RTSP, HTTP (MJPEG) or other stream that FFmpeg reads; only FFmpeg receives its password."""
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
    if not is_text(url):
        raise UsageError(f"{printable_name(redact_credentials(url))} cannot be opened: an address is UTF-8 text")

    def open_stream() -> Capture | None:
        if redirects(url):
            logger.warning("%s redirects, which is not followed: give the address that it redirects to", name)
            return None
        return configure_capture(cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits))

    name = redact_credentials(url)
    limit_ffmpeg()
    return Camera(
        name,
        open_stream,
        "it does not answer, redirects, or is not a video stream",
        development,
    )
