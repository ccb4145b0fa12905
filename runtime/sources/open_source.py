"""Open a source by what the user named."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES, decode_image
from ..system.address import printable_name, redact_credentials
from .image_files import KNOWN, STREAMS, VIDEO_SUFFIXES, ImageSource, folder_entries, read_file, zip_entries
from .source import Source


def open_source(
    camera: str,
    on_bad: Callable[[ImageError], None],
    on_lost: Callable[[str], None] = lambda _: None,
    sequence: bool = False,
    at_once: int = 1,
    out: Path | None = None,
) -> Source:
    """Open what ``--camera`` names.

    Args:
        camera: ``demo``, a picture, a folder or zip of pictures, a video file, ``/dev/videoN`` or an index N, or
            the address of a stream.
        on_bad: told of each picture that is skipped.
        on_lost: told in one line when a camera is lost, when it is back, and when frames of a video, or bits of
            their depth, are missing.
        sequence: whether the pictures of a folder or zip are exposures of one field, in the order of their names.
        at_once: pictures of a folder or zip that are decoded at the same time.
        out: the output folder; what earlier runs left there is not read again, where it lies in a folder of pictures.

    Raises:
        UsageError: there is no such source, nothing in it, or it is the output folder itself.
        BadPicture: the one picture that was named cannot be read.
    """
    if not camera.strip():
        raise UsageError(f"the source is empty: give {KNOWN}")
    if camera == "demo":
        from .demo import DemoSource

        return DemoSource()
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", camera)
    if device:
        from .v4l2 import v4l2_camera

        return v4l2_camera(int(device[1]), on_lost)
    if camera.lower().startswith(STREAMS):
        from .camera import stream

        scheme, rest = camera.split("://", 1)
        return stream(f"{scheme.lower()}://{rest}", on_lost)  # FFmpeg knows them in small letters only
    path = Path(camera).expanduser()
    if camera.startswith("/dev/"):
        raise UsageError(f"'{camera}' is no camera: give /dev/videoN or its number (galaxy-edge devices lists them)")
    try:
        if path.is_dir():
            return ImageSource(camera, folder_entries(path, out), on_bad, sequence, at_once)
        if not path.is_file():
            wrong = "is no regular file" if path.exists() else "does not exist"
            raise UsageError(f"the source '{redact_credentials(camera)}' {wrong}: give {KNOWN}")
        if zipfile.is_zipfile(path):
            return ImageSource(camera, zip_entries(path, printable_name(path.name)), on_bad, sequence, at_once)
        if path.suffix.lower() == ".ser":
            from .ser import SerSource

            return SerSource(path, on_lost)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            from .video import VideoSource

            return VideoSource(path, on_lost)
    except PermissionError as problem:
        raise UsageError(f"'{problem.filename}' cannot be read: permission denied") from None
    if path.suffix.lower() == ".zip":
        raise UsageError(f"'{camera}' is not a zip file, or a damaged one")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"'{camera}' is neither a picture ({', '.join(SUFFIXES)}), a zip nor a video ({', '.join(VIDEO_SUFFIXES)})"
        )
    entry = (printable_name(path.name), lambda: read_file(path))
    decode_image(entry[1](), entry[0])  # one picture that is bad is a wrong argument, not a skipped frame
    return ImageSource(camera, [entry], on_bad)
