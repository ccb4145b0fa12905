"""HTTP cameras: streams through FFmpeg, and single images.

The address of a single image is requested repeatedly.
"""

from __future__ import annotations

import logging
import ssl
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2
import numpy as np

from ...errors import ImageError
from ...models.images.decoder import decode_image
from ..system.address import printable_name, redact_credentials
from .capture import Capture, CaptureError
from .stream_errors import describe_status, why_unreachable

POLL_SECONDS = 1.0
"""Interval at which a single image is requested."""
REQUEST_SECONDS, BODY_SECONDS = 5.0, 15.0
"""Maximum time without data from the camera, and for the transfer of a complete image."""
MAX_SNAPSHOT = 64 * 2**20
MAX_FAILURES = 3
"""Number of successive damaged images after which the camera counts as lost."""

logger = logging.getLogger(__name__)


class SnapshotCapture:
    """An address that gives one image at each request, read every `POLL_SECONDS`.

    Args:
        url: the address, which may hold a user and a password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._due = time.monotonic()

    def read(self, _: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Request an image, (H, W, 3) uint8 BGR; False where there is none."""
        for _attempt in range(MAX_FAILURES):
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._due = time.monotonic() + POLL_SECONDS
            content_type, content = request(self._url, MAX_SNAPSHOT)
            if not is_image(content_type):
                return False, None
            try:
                pixels = decode_image(content, "snapshot").pixels
            except ImageError as error:
                logger.debug("skipped %s", error)
                continue
            return True, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        return False, None

    def release(self) -> None:
        """Do nothing: every request has a connection of its own."""


class HttpCapture:
    """A stream that FFmpeg has opened.

    It becomes a `SnapshotCapture` where it turns out to be a single image.

    The content type is requested only if the stream has ended after at most one image, as some cameras serve one
    viewer.

    Args:
        url: its address.
        capture: opened.
    """

    def __init__(self, url: str, capture: Capture) -> None:
        self._url = url
        self._capture = capture
        self._images = 0

    def read(self, image: np.ndarray | None = None) -> tuple[bool, np.ndarray | None]:
        """Read an image, into `image` where it fits; False where there is none.

        Raises:
            CaptureError: there is none, and the camera says why.
        """
        available, content = self._capture.read(image)
        if available or self._images > 1 or isinstance(self._capture, SnapshotCapture):
            self._images += 1
            return available, content
        self._capture.release()
        content_type, _ = request(self._url, 0)
        if is_image(content_type):
            self._capture = snapshots(self._url)
            return self._capture.read()
        if self._images == 0:
            raise no_image(content_type)
        return False, None

    def release(self) -> None:
        """Close the stream."""
        self._capture.release()


def open_snapshots(url: str) -> SnapshotCapture:
    """Open an address of single images, which FFmpeg cannot read as a stream.

    Raises:
        CaptureError: the address gives something else, or nothing; the text names it.
    """
    content_type, _ = request(url, 0)
    if not is_image(content_type):
        raise no_image(content_type)
    return snapshots(url)


def snapshots(url: str) -> SnapshotCapture:
    """Return the capture of an address that gives an image, and log that it is one."""
    logger.info("%s is a single image: it is requested every %g s", redact_credentials(url), POLL_SECONDS)
    return SnapshotCapture(url)


def no_image(content_type: str) -> CaptureError:
    """Return the error of an answer without an image."""
    answer = f"with {printable_name(content_type)}" if content_type else "without a content type"
    return CaptureError(f"it answers {answer}, of which no image can be decoded")


def is_image(content_type: str) -> bool:
    """Return whether a content type is that of an image."""
    return content_type.startswith("image/")


def request(url: str, max_bytes: int) -> tuple[str, bytes]:
    """Request an address; return the content type and up to `max_bytes` of the body.

    Raises:
        CaptureError: it cannot be read; the text gives the reason.
    """
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, plain, unquote(parts.username), unquote(parts.password or ""))
    # Cameras sign their certificates themselves; FFmpeg does not verify them either.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
        _NoRedirects(),
        _CloseRefusals(),
    )
    try:
        with opener.open(plain, timeout=REQUEST_SECONDS) as answer:
            return answer.headers.get("Content-Type", "").strip().lower(), _read_body(answer, max_bytes)
    except urllib.error.HTTPError as error:
        error.close()
        raise CaptureError(describe_status(error.code)) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = why_unreachable(url)
        if not reason and isinstance(getattr(error, "reason", error), TimeoutError):
            reason = "it does not answer in time"
        reason = reason or f"its answer is not valid HTTP ({type(error).__name__})"
        raise CaptureError(reason) from None


def _read_body(answer: IO[bytes], max_bytes: int) -> bytes:
    """Read a body to its end.

    Raises:
        CaptureError: it has more than `max_bytes`, or takes longer than `BODY_SECONDS`.
    """
    content, deadline = bytearray(), time.monotonic() + BODY_SECONDS
    while max_bytes:
        part = answer.read1(65536) if hasattr(answer, "read1") else answer.read(65536)
        if not part:
            break
        content += part
        if len(content) > max_bytes or time.monotonic() > deadline:
            raise CaptureError(
                f"its image has more than {max_bytes >> 20} MiB, or takes longer than {BODY_SECONDS:g} s"
            )
    return bytes(content)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that refuses redirects.

    A camera could use them to make this computer send requests to other machines.
    """

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""
        raise CaptureError("it redirects, which is not followed: give the address that it redirects to")


class _CloseRefusals(urllib.request.BaseHandler):
    """A handler that closes the connection of an answer 401.

    The handlers of passwords leave it open for a second request.
    """

    handler_order = 100  # before them

    def http_error_401(self, req: object, fp: IO[bytes], *_: Any) -> None:
        """Close it."""
        fp.close()
