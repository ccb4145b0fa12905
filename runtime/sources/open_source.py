"""Open the source that the user named."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.development import Development
from .source import KNOWN, Source

logger = logging.getLogger(__name__)

STREAMS = ("rtsp://", "rtsps://", "http://", "https://")


def log_skipped(error: ImageError) -> None:
    """Log a warning that an image was skipped."""
    logger.warning("skipped %s", error)


def open_source(
    camera: str,
    on_bad: Callable[[ImageError], None] = log_skipped,
    *,
    sequence: bool = False,
    at_once: int = 1,
    out: Path | None = None,
    development: Development | None = None,
    wait: bool = False,
    repeats: bool = False,
) -> Source:
    """Open the source that ``--camera`` names.

    Args:
        camera: ``demo``, an image, a folder or zip of images, a video file, ``/dev/videoN``, an index N or
            ``picamera2[:N]``, each with options (``?exposure=0.5&gain=8``), or the address of a stream.
        on_bad: called with the error of each image that is skipped; by default it is logged as a warning.
        sequence: whether the images of a folder or zip are exposures of one field, in the order of their names.
        at_once: images of a folder or zip that are decoded at the same time.
        out: the output folder; if it is inside a folder of images, its files are not read.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.
        repeats: whether the demo repeats without end.
        wait: whether to wait for a camera or stream that is absent now.

    Raises:
        UsageError: there is no such source, nothing in it, or it is the output folder itself.
        ImageError: the one image that was named cannot be read.
    """
    # Long because every kind of source is recognised here, in order of precedence.
    if not camera.strip():
        raise UsageError(f"the source is empty: give {KNOWN}")
    if camera == "demo":
        from .demo import DemoSource

        return DemoSource(repeats)
    if camera.startswith("watch:"):
        from .watched_folder import WatchedFolderSource

        if camera == "watch:":
            raise UsageError("watch: needs the name of a folder: --camera watch:FOLDER (watch:. is the current one)")
        return WatchedFolderSource(Path(camera.removeprefix("watch:")).expanduser(), out, development=development)
    device = re.fullmatch(r"(?:/dev/video)?(\d+)(\?.*)?", camera)
    if device:
        from .v4l2.camera import v4l2_camera

        return v4l2_camera(camera, development, wait)
    if camera == "picamera2" or camera.startswith(("picamera2:", "picamera2?")):
        from .picamera.camera import picamera2_camera

        return picamera2_camera(camera, development, wait)
    if camera.lower().startswith(STREAMS):
        from .camera import stream

        scheme, rest = camera.split("://", 1)
        return stream(f"{scheme.lower()}://{rest}", development, wait)  # FFmpeg accepts lower case only
    if camera.startswith("/dev/"):
        raise UsageError(f"'{camera}' is not a camera: give /dev/videoN or its number (galaxy-edge devices lists them)")
    from .open_files import open_files

    return open_files(camera, on_bad, sequence, at_once, out, development)
