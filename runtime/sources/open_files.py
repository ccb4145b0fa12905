"""Open a path that the user named: images, a folder, a zip or a video file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES
from ...models.images.development import Development
from ...models.images.memory import MemoryGate
from ..system.address import printable_name, redact_credentials
from .image_files import ImageSource, decode_entry, file_entry, folder_entries, zip_entries
from .source import KNOWN, Source
from .work_journal import WorkJournal

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ser", ".mpg", ".mpeg")


def open_files(
    camera: str,
    on_bad: Callable[[ImageError], None],
    sequence: bool,
    at_once: int,
    out: Path | None,
    development: Development | None,
) -> Source:
    """Open a file or a folder; for arguments and errors see `open_source`."""
    path = Path(camera).expanduser()
    journal = WorkJournal(out)
    try:
        if path.is_dir():
            return ImageSource(camera, folder_entries(path, out), on_bad, sequence, at_once, development, journal)
        if not path.is_file():
            fault = "is not a regular file" if path.exists() else "does not exist"
            raise UsageError(f"the source '{redact_credentials(camera)}' {fault}: give {KNOWN}")
        if zipfile.is_zipfile(path):
            entries = zip_entries(path, printable_name(path.name))
            return ImageSource(camera, entries, on_bad, sequence, at_once, development, journal)
        if path.suffix.lower() == ".ser":
            from .ser import SerSource

            return SerSource(path, development)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            from .video import VideoSource

            return VideoSource(path, development)
    except PermissionError as error:
        raise UsageError(f"'{error.filename}' cannot be read: permission denied") from None
    if path.suffix.lower() == ".zip":
        raise UsageError(f"'{camera}' is not a zip file, or it is damaged")
    if not path.name.lower().endswith(SUFFIXES):
        raise UsageError(
            f"'{camera}' is neither an image ({', '.join(SUFFIXES)}), a zip nor a video ({', '.join(VIDEO_SUFFIXES)})"
        )
    entry = file_entry(path, printable_name(path.name))
    decode_entry(entry, development, MemoryGate(), journal)  # a single bad image is a wrong argument, not skipped
    return ImageSource(camera, [entry], on_bad, development=development, journal=journal)
