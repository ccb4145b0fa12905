"""Cameras and streams that are reopened when they stop delivering."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator

import cv2

from ...errors import UsageError
from ..frame import Frame
from ..system.address import is_text, printable_name, redact_credentials
from .capture import Capture, FrameBuilder, configure_capture
from .video import STREAM_TIMEOUT_MS

MIN_WAIT, MAX_WAIT = 0.25, 30.0
"""Seconds before a lost camera is opened again; doubled after each attempt that fails."""


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
        make = FrameBuilder(self.name)
        try:
            while True:
                image = make.read(self._capture)
                if image is None:
                    self._reconnect(make.number)
                    continue
                frame = make(image, datetime.datetime.now(datetime.UTC))
                del image
                yield frame
                del frame
        finally:
            self._capture.release()

    def _reconnect(self, frames: int) -> None:
        """Open the camera again, however long that takes."""
        self._capture.release()
        self._on_lost(f"{self.name} stopped delivering after {frames} frames; it is being opened again")
        wait = MIN_WAIT
        while True:
            time.sleep(wait)
            capture = self._open()
            if capture is not None:
                break
            wait = min(2 * wait, MAX_WAIT)
        self._capture = capture
        self.reopened += 1
        self._on_lost(f"{self.name} is back")


def stream(url: str, on_lost: Callable[[str], None]) -> Camera:
    """Open an RTSP, HTTP (MJPEG) or other stream that FFmpeg reads; its password goes to FFmpeg alone."""
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
    why = "it does not answer, or is no video stream"
    if not is_text(url):
        raise UsageError(f"{printable_name(redact_credentials(url))} cannot be opened: an address is UTF-8 text")
    return Camera(
        redact_credentials(url), lambda: configure_capture(cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)), on_lost, why
    )
