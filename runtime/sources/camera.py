"""Cameras and network streams, which are reopened when they stop delivering."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from ...errors import ImageError, UsageError
from ...models.images.development import Development
from ..frame import Frame
from ..system.address import is_text, printable_name, redact_credentials
from ..system.backoff import Backoff
from .capture import Capture, CaptureError, FrameBuilder, FrameInfo, configure_capture
from .ffmpeg_limits import LimitedCapture, check_capture, redirects
from .http_camera import HttpCapture, is_image, open_snapshots, request, snapshots
from .stream_errors import why_not_opened
from .video import STREAM_TIMEOUT_MS

MIN_WAIT, MAX_WAIT = 0.25, 30.0
"""Seconds before a lost camera is reopened: at first, and at most, see `Backoff`."""
BUSY_SECONDS = 1.0
"""Delay before an RTSP camera that refused is requested again."""
FIRST_READS = 3
"""Attempts to read the first image, which is incomplete from many USB cameras."""
NO_IMAGE = "it can be opened, but delivers no image"

Reading = tuple[np.ndarray, datetime.datetime, FrameInfo | None]
"""An image, the UTC time of reading it, and what the camera gave with it."""

logger = logging.getLogger(__name__)


class Camera:
    """A camera that is read until the run ends.

    When it stops delivering, it is reopened with increasing waits.

    A lost camera and its return are logged as warnings; if it is lost repeatedly, at growing intervals.

    Args:
        name: its name without a password: it is written, shown and published.
        open_capture: opens it; raises `CaptureError` where that fails, `UsageError` where an option is wrong.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.
        wait: whether to wait for a camera that is absent now.

    Attributes:
        reopened: number of times that it was lost and reopened.

    Raises:
        UsageError: it delivers no image now, and `wait` is off; or it is there, and an option is wrong.
    """

    continuous = True
    live = True
    length: int | None = None

    def __init__(
        self,
        name: str,
        open_capture: Callable[[], Capture],
        development: Development | None = None,
        wait: bool = False,
    ) -> None:
        self.name = name
        self.bad = 0
        self.reopened = 0
        self._open = open_capture
        self._builder = FrameBuilder(name, development)
        self._backoff = Backoff(MIN_WAIT, MAX_WAIT)
        self._capture: Capture | None = None
        self._first: Reading | None = None
        self._reasons: set[str] = set()
        self._is_loss_logged = True  # that it is absent at the start is logged below
        try:
            self._connect()
        except CaptureError as error:
            if not wait:
                raise UsageError(f"{name} cannot be opened as a camera: {error} (--wait waits for it)") from None
            self._reasons.add(str(error))
            logger.warning("%s cannot be opened: %s; waiting for it", name, error)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames without end."""
        try:
            while True:
                if self._capture is None:
                    self._await_connection()
                found = self._read()
                if found is None:
                    self._reconnect()
                    continue
                frame = self._builder(*found)
                del found
                yield frame
                del frame
        finally:
            if self._capture is not None:
                self._capture.release()
                self._capture = None

    def _connect(self) -> None:
        """Open the camera and read its first image.

        Raises:
            CaptureError: one of them fails.
        """
        capture = self._open()
        try:
            images = (self._builder.read(capture) for _ in range(FIRST_READS))
            image = next((image for image in images if image is not None), None)
            if image is None:
                raise CaptureError(NO_IMAGE)
        except ImageError as error:
            capture.release()
            raise CaptureError(error.reason) from None
        except BaseException:
            capture.release()
            raise
        self._capture, self._first = capture, _reading(image, capture)
        self._backoff.connected()

    def _read(self) -> Reading | None:
        """Return the next image with its time and details.

        None where the camera has stopped delivering.
        """
        assert self._capture is not None
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            image = self._builder.read(self._capture)
        except CaptureError as error:
            self._log_reason(error)
            return None
        except ImageError as error:
            self._log_reason(CaptureError(error.reason))
            return None
        return None if image is None else _reading(image, self._capture)

    def _reconnect(self) -> None:
        """Reopen the camera, however long that takes."""
        assert self._capture is not None
        self._capture.release()
        self._capture = None
        self._backoff.lost()
        self._is_loss_logged = False
        if self._backoff.losses == 1:
            self._reasons.clear()
        self._log_loss()
        self._await_connection()
        self.reopened += 1
        if self._is_loss_logged:
            logger.warning("%s is back", self.name)

    def _await_connection(self) -> None:
        """Try to connect until it succeeds; each reason why it does not is logged once."""
        while self._capture is None:
            time.sleep(self._backoff.next_wait())
            try:
                self._connect()
            except (CaptureError, UsageError) as error:  # another camera may be there now, which lacks an option
                self._log_loss()
                self._log_reason(error)

    def _log_loss(self) -> None:
        if self._is_loss_logged or not self._backoff.is_worth_a_message:
            return
        self._is_loss_logged = True
        losses = self._backoff.losses
        again = f" ({losses} times without a good minute between)" if losses > 1 else ""
        logger.warning(
            "%s stopped delivering after %d frames%s; it is being reopened", self.name, self._builder.number, again
        )

    def _log_reason(self, error: Exception) -> None:
        if str(error) not in self._reasons:
            self._reasons.add(str(error))
            logger.warning("%s: %s", self.name, error)


def _reading(image: np.ndarray, capture: Capture) -> Reading:
    return image, datetime.datetime.now(datetime.UTC), getattr(capture, "info", None)


def stream(url: str, development: Development | None = None, wait: bool = False) -> Camera:
    """Open an RTSP, HTTP (MJPEG or single images) or other stream that FFmpeg reads.

    Raises:
        UsageError: its address is not text, or it delivers no image now and `wait` is off.
    """
    if not is_text(url):
        raise UsageError(f"{printable_name(redact_credentials(url))} cannot be opened: an address is UTF-8 text")
    return Camera(redact_credentials(url), lambda: _open_stream(url), development, wait)


def _open_stream(url: str) -> Capture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_TIMEOUT_MS]
    if redirects(url):
        raise CaptureError("it redirects, which is not followed: give the address that it redirects to")
    capture = configure_capture(LimitedCapture(url, limits))
    if capture is None and url.startswith("rtsp"):
        # A camera answers 503 while it is still busy with the request of `redirects`.
        time.sleep(BUSY_SECONDS)
        capture = configure_capture(LimitedCapture(url, limits))
    if capture is not None:
        try:
            check_capture(capture, "")
        except ImageError as error:
            capture.release()
            if not url.startswith("http") or not is_image(request(url, 0)[0]):
                raise CaptureError(error.reason) from None
            return snapshots(url)  # one image at a time may be larger, and is checked by itself
    if url.startswith("http"):
        return HttpCapture(url, capture) if capture is not None else open_snapshots(url)
    if capture is None:
        raise CaptureError(why_not_opened(url))
    return capture
