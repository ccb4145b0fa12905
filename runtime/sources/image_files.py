"""Frames from image files: one, a folder of them, or a zip."""

from __future__ import annotations

import datetime
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES, DecodedImage, decode_image
from ...models.images.development import Development
from ...models.images.frame_type import CalibrationFrameError
from ...models.images.memory import MemoryGate, check_memory
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import printable_name
from ..system.prefetch import prefetch
from .image_frame import ReadingLog, image_frame
from .image_order import HEAD, by_time, describe_unread, is_hidden, log_unread, unread_suffix
from .natural_order import natural_key
from .work_journal import Mark, WorkJournal

_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, OSError, struct.error)
"""Raised on reading a damaged zip, one with a password or of a later version."""


@dataclass(frozen=True)
class Entry:
    """An image of a source, which is read on demand.

    Attributes:
        name: for messages and results.
        size: bytes of its file, unpacked from a zip.
        mark: identifies the file.
        read: returns the content; raises ImageError.
        head: returns the first `HEAD` bytes.
    """

    name: str
    size: int
    mark: Mark
    read: Callable[[], bytes]
    head: Callable[[], bytes]

    @classmethod
    def from_bytes(cls, name: str, content: bytes) -> Entry:
        """Return the entry of an image in the memory."""
        return cls(name, len(content), (name, len(content), 0), lambda: content, lambda: content[:HEAD])


class ImageSource:
    """Images from files or zips, in natural order of their names, or by date.

    They are ordered by their dates where all have one.

    Args:
        name: the source as the user named it.
        entries: the images, in order.
        on_bad: called with the error of each image that is skipped.
        sequence: whether the images are exposures of one field, in order.
        at_once: number of threads that read and decode, 1 for the caller's alone; the order is kept.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.
        journal: notes the images that are being decoded.

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
        journal: WorkJournal | None = None,
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
        self._decoded = partial(
            decode_entry, development=development, gate=MemoryGate(), journal=journal or WorkJournal(None)
        )
        self._log = ReadingLog()

    @property
    def skipped(self) -> int:
        """Number of calibration frames that were skipped."""
        return self._log.skipped

    def __iter__(self) -> Iterator[Frame]:
        """Decode the images; skip and report the bad ones."""
        number = 0
        for name, result in zip(
            (entry.name for entry in self._entries), prefetch(self._decoded, self._entries, self._at_once), strict=True
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


def decode_entry(entry: Entry, development: Development | None, gate: MemoryGate, journal: WorkJournal) -> DecodedImage:
    """Read and decode an image once there is memory for it.

    It is noted in the journal meanwhile.

    Raises:
        ImageError: it cannot be read.
    """
    check_memory(entry.size, entry.name)
    with gate.reservation() as reservation, journal.working(entry.name, entry.mark):
        reservation.grow(entry.size)
        return decode_image(entry.read(), entry.name, development, reservation)


def file_entry(path: Path, name: str) -> Entry:
    """Return the entry of a file.

    A missing file, or one that is not regular, is refused when it is read.
    """
    try:
        status = path.stat()
        mark = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
    except OSError:
        mark = (os.path.abspath(path), 0, 0)
    size = mark[1]

    def head() -> bytes:
        _check_regular(path, name)
        with path.open("rb") as stream:
            return stream.read(HEAD)

    return Entry(name, size, mark, lambda: read_file(path), head)


def read_file(path: Path) -> bytes:
    """Read an image file.

    Raises:
        ImageError: it cannot be read, or is larger than the memory for an image.
    """
    try:
        _check_regular(path, printable_name(path.name))
        check_memory(path.stat().st_size, printable_name(path.name))
        return path.read_bytes()
    except OSError as error:
        raise ImageError(printable_name(path.name), f"it cannot be read: {error.strerror}") from None


def _check_regular(path: Path, name: str) -> None:
    """Refuse any but a regular file: to open a named pipe would wait for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError(name, "it is not a regular file")


def folder_entries(folder: Path, out: Path | None) -> list[Entry]:
    """List the images of a folder and of its zips, at any depth, except in `out`.

    What is not read is logged.

    They are in natural order of their names; in order of their dates if all are FITS with a date.

    Raises:
        UsageError: the folder is `out`, or holds only files that are not read.
    """
    source, output = folder.resolve(), out and out.resolve()
    written = output.relative_to(source) if output and output.is_relative_to(source) else None
    if written == Path():
        raise UsageError(f"'{folder}' cannot be source and output folder at once: name another --out")
    entries: list[Entry] = []
    unread: Counter[str] = Counter()
    paths = [(path.relative_to(folder), path) for path in folder.rglob("*")]
    for relative, path in sorted(paths, key=lambda item: natural_key(item[0].as_posix())):
        if is_hidden(relative.parts) or (written and relative.is_relative_to(written)):
            continue
        name = printable_name(relative.as_posix())
        if path.name.lower().endswith(SUFFIXES):
            entries.append(file_entry(path, name))
        elif path.suffix.lower() == ".zip":
            try:
                inside, others = _zip_contents(path, name, name + "/")
                entries += inside
                unread += others
            except ImageError as error:
                entries.append(_failing(name, error))  # reported and counted in order, like an image
        elif (suffix := unread_suffix(path.name)) and path.is_file():
            unread[suffix] += 1
    return _ordered(str(folder), entries, unread)


def _ordered(name: str, entries: list[Entry], unread: Counter[str]) -> list[Entry]:
    if unread and not entries:
        raise UsageError(f"'{name}' holds no image ({', '.join(SUFFIXES)}), but {describe_unread(unread)}")
    log_unread(printable_name(name), unread)
    return by_time(entries, (ImageError, *_DAMAGED))


def _failing(name: str, error: ImageError) -> Entry:
    def read() -> bytes:
        raise error

    return Entry(name, 0, (name, 0, 0), read, read)


def zip_entries(path: Path, name: str) -> list[Entry]:
    """List the images in a zip, ordered as those of a folder; log what is not read.

    Raises:
        ImageError: it cannot be read.
        UsageError: it holds only files that are not read.
    """
    return _ordered(name, *_zip_contents(path, name, ""))


def _zip_contents(path: Path, name: str, prefix: str) -> tuple[list[Entry], Counter[str]]:
    """Return the images in a zip, and how many files of each other kind there are."""
    try:
        _check_regular(path, name)
        archive = zipfile.ZipFile(path)
        status = path.stat()
    except _DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(name, f"it is not a zip file that can be read, or it is damaged ({reason})") from None
    unread: Counter[str] = Counter()

    def read(member: zipfile.ZipInfo, size: int) -> bytes:
        # The stated size bounds what is unpacked: a zip bomb that states less fails its checksum at that size.
        shown = printable_name(prefix + member.filename)
        try:
            with archive.open(member) as stream:
                return stream.read(size)
        except _DAMAGED as error:
            raise ImageError(shown, f"it cannot be unpacked: {error}") from None

    def entry(member: zipfile.ZipInfo) -> Entry:
        shown = printable_name(prefix + member.filename)
        mark = (f"{os.path.abspath(path)}/{member.filename}", status.st_size, status.st_mtime_ns)
        return Entry(
            shown, member.file_size, mark, lambda: read(member, member.file_size + 1), lambda: read(member, HEAD)
        )

    entries = []
    for member in sorted(archive.infolist(), key=lambda member: natural_key(member.filename)):
        if member.is_dir() or is_hidden(Path(member.filename).parts):
            continue
        if member.filename.lower().endswith(SUFFIXES):
            entries.append(entry(member))
        elif suffix := unread_suffix(member.filename):
            unread[suffix] += 1
    return entries, unread
