"""Frames from image files: one, a folder of them, or a zip."""

from __future__ import annotations

import datetime
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES, DecodedImage, decode_image
from ...models.images.development import Development
from ...models.images.frame_type import CalibrationFrameError
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import printable_name
from ..system.prefetch import prefetch
from .image_frame import ReadingLog, image_frame

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ser", ".mpg", ".mpeg")
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
MAX_FILE = 2**30
KNOWN = "an image, folder, zip, video, camera, stream, watch:FOLDER or demo"
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, OSError, struct.error)
"""Raised on reading a damaged zip, one with a password or of a later version."""


Entry = tuple[str, Callable[[], bytes]]


class ImageSource:
    """Images from files or zips, in the order of their names.

    Args:
        name: the source as the user named it.
        entries: name and reader of each image.
        on_bad: called with the error of each image that is skipped.
        sequence: whether the images are exposures of one field, in order.
        at_once: number of threads that read and decode, 1 for the caller's alone; the order is kept.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Attributes:
        bad: images that could not be read.
        skipped: darks, biases and flats that were skipped.
    """

    live = False
    reopened = 0

    def __init__(
        self,
        name: str,
        entries: list[Entry],
        on_bad: Callable[[ImageError], None],
        sequence: bool = False,
        at_once: int = 1,
        development: Development | None = None,
    ) -> None:
        if not entries:
            raise UsageError(f"'{name}' holds no image ({', '.join(SUFFIXES)})")
        self.name = printable_name(name)
        self.continuous = sequence
        self.length: int | None = len(entries)
        self.bad = 0
        self._entries = entries
        self._on_bad = on_bad
        self._at_once = at_once
        self._decoded = partial(_decoded, development=development)
        self._log = ReadingLog()

    @property
    def skipped(self) -> int:
        """Number of calibration frames that were skipped."""
        return self._log.skipped

    def __iter__(self) -> Iterator[Frame]:
        """Decode the images; skip and report the bad ones."""
        number = 0
        for name, result in zip(
            (name for name, _ in self._entries), prefetch(self._decoded, self._entries, self._at_once), strict=True
        ):
            try:
                image = result()
            except CalibrationFrameError as error:
                self._log.calibration_frame(error)
                continue
            except ImageError as error:
                self.bad += 1
                self._on_bad(error)
                continue
            self._log.remarks(name, image)
            yield image_frame(image, datetime.datetime.now(datetime.UTC), name, number)
            del image, result  # release the memory before waiting for the next
            number += 1
        if number == 0 and self._entries and not self.skipped:
            raise RunFailure(f"none of the {len(self._entries)} images in '{self.name}' could be read")


def _decoded(entry: Entry, development: Development | None) -> DecodedImage:
    name, read = entry
    return decode_image(read(), name, development)


def read_file(path: Path) -> bytes:
    try:
        _check_regular(path, printable_name(path.name))
        if path.stat().st_size > MAX_FILE:
            raise ImageError(printable_name(path.name), f"the file is larger than {MAX_FILE >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(printable_name(path.name), f"it cannot be read: {error.strerror}") from None


def _check_regular(path: Path, name: str) -> None:
    """Refuse anything but a regular file: opening a named pipe would wait for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError(name, "it is not a regular file")


def folder_entries(folder: Path, out: Path | None) -> list[Entry]:
    """List the images of a folder and of the zips in it, by name, at any depth, without those in `out`.

    Raises:
        UsageError: the folder is `out`.
    """
    source, output = folder.resolve(), out and out.resolve()
    written = output.relative_to(source) if output and output.is_relative_to(source) else None
    if written == Path():
        raise UsageError(f"'{folder}' cannot be source and output folder at once: name another --out")
    entries: list[Entry] = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or (written and relative.is_relative_to(written)):
            continue
        name = printable_name(relative.as_posix())
        if path.suffix.lower() in SUFFIXES:
            entries.append((name, lambda path=path: read_file(path)))  # type: ignore[misc]
        elif path.suffix.lower() == ".zip":
            try:
                entries.extend(zip_entries(path, name, name + "/"))
            except ImageError as error:
                entries.append((name, _failing(error)))  # reported and counted in its turn, like an image
    return entries


def _failing(error: ImageError) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


def zip_entries(path: Path, name: str, prefix: str = "") -> list[Entry]:
    """List the images in a zip by name.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        _check_regular(path, name)
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(name, f"it is not a zip file that can be read, or it is damaged ({reason})") from None
    members = [member for member in archive.infolist() if Path(member.filename).suffix.lower() in SUFFIXES]

    def read(member: zipfile.ZipInfo) -> bytes:
        # The stated size bounds what is unpacked: a zip bomb that states less fails its checksum at that size.
        if member.file_size > MAX_FILE:
            raise ImageError(
                printable_name(prefix + member.filename), f"unpacked it is larger than {MAX_FILE >> 20} MiB"
            )
        try:
            return archive.read(member)
        except _DAMAGED as error:
            raise ImageError(printable_name(prefix + member.filename), f"it cannot be unpacked: {error}") from None

    members.sort(key=lambda member: member.filename)
    return [(printable_name(prefix + member.filename), lambda member=member: read(member)) for member in members]  # type: ignore[misc]
