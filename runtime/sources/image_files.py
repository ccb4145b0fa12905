"""Where frames come from: the demo sky, a picture, a folder or zip of pictures, a video file, a camera, a stream."""

from __future__ import annotations

import datetime
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import ImageError, UsageError
from ...models.images.decoder import SUFFIXES, DecodedImage, decode_image
from ..errors import RunFailure
from ..frame import Frame
from ..system.address import printable_name
from ..system.prefetch import prefetch

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ser", ".mpg", ".mpeg")
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
MAX_FILE = 2**30
KNOWN = "a picture, folder, zip, video, camera, stream or demo"
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, OSError, struct.error)
"""What reading a damaged zip, one with a password or one of a later make raises (NotImplementedError among it)."""


Entry = tuple[str, Callable[[], bytes]]


class ImageSource:
    """Pictures from files or zips, in the order of their names.

    Args:
        name: how they were asked for.
        entries: name and reader of each.
        on_bad: told of each that is skipped.
        sequence: whether each follows from the last, as exposures of one field do.
        at_once: so many are read and decoded at the same time, each in a thread of its own; 1 for none but the
            caller's. They come in their order all the same.
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
    ) -> None:
        if not entries:
            raise UsageError(f"'{name}' holds no picture ({', '.join(SUFFIXES)})")
        self.name = printable_name(name)
        self.continuous = sequence
        self.length: int | None = len(entries)
        self.bad = 0
        self._entries = entries
        self._on_bad = on_bad
        self._at_once = at_once

    def __iter__(self) -> Iterator[Frame]:
        """Decode the pictures; skip and report the bad ones."""
        number = 0
        for name, result in zip(
            (name for name, _ in self._entries), prefetch(_decoded, self._entries, self._at_once), strict=True
        ):
            try:
                picture = result()
            except ImageError as problem:
                self.bad += 1
                self._on_bad(problem)
                continue
            time = picture.time or datetime.datetime.now(datetime.UTC)
            yield Frame(picture.pixels, time, name, number, picture.stretch, picture.header, picture.raw)
            del picture, result  # nothing is held while the next is waited for
            number += 1
        if number == 0 and self._entries:
            raise RunFailure(f"none of the {len(self._entries)} pictures in '{self.name}' could be read")


def _decoded(entry: Entry) -> DecodedImage:
    name, read = entry
    return decode_image(read(), name)


def read_file(path: Path) -> bytes:
    try:
        _check_regular(path, printable_name(path.name))
        if path.stat().st_size > MAX_FILE:
            raise ImageError(printable_name(path.name), f"the file is larger than {MAX_FILE >> 20} MiB")
        return path.read_bytes()
    except OSError as problem:
        raise ImageError(printable_name(path.name), f"it cannot be read: {problem.strerror}") from None


def _check_regular(path: Path, name: str) -> None:
    """Refuse what is no file: a named pipe would be waited for until someone writes into it."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError(name, "it is no regular file")


def folder_entries(folder: Path, out: Path | None) -> list[Entry]:
    """List the pictures of a folder and of the zips in it, by name, at any depth, without those in `out`.

    Raises:
        UsageError: the folder is `out`.
    """
    here, there = folder.resolve(), out and out.resolve()
    written = there.relative_to(here) if there and there.is_relative_to(here) else None
    if written == Path():
        raise UsageError(f"'{folder}' cannot be source and output folder at once: name another --out")
    entries: list[Entry] = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or (written and inside.is_relative_to(written)):
            continue
        name = printable_name(inside.as_posix())
        if path.suffix.lower() in SUFFIXES:
            entries.append((name, lambda path=path: read_file(path)))  # type: ignore[misc]
        elif path.suffix.lower() == ".zip":
            try:
                entries.extend(zip_entries(path, name, name + "/"))
            except ImageError as problem:
                entries.append((name, _failing(problem)))  # told of and counted in its turn, like a picture
    return entries


def _failing(problem: ImageError) -> Callable[[], bytes]:
    def read() -> bytes:
        raise problem

    return read


def zip_entries(path: Path, name: str, prefix: str = "") -> list[Entry]:
    """List the pictures in a zip by name.

    Raises:
        BadPicture: it cannot be read.
    """
    try:
        _check_regular(path, name)
        archive = zipfile.ZipFile(path)
    except _DAMAGED as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ImageError(name, f"it is no zip file that can be read, or a damaged one ({reason})") from None
    members = [member for member in archive.infolist() if Path(member.filename).suffix.lower() in SUFFIXES]

    def read(member: zipfile.ZipInfo) -> bytes:
        # The stated size bounds what is unpacked: a bomb that lies about it fails its checksum at that size.
        if member.file_size > MAX_FILE:
            raise ImageError(
                printable_name(prefix + member.filename), f"unpacked it is larger than {MAX_FILE >> 20} MiB"
            )
        try:
            return archive.read(member)
        except _DAMAGED as problem:
            raise ImageError(printable_name(prefix + member.filename), f"it cannot be unpacked: {problem}") from None

    members.sort(key=lambda member: member.filename)
    return [(printable_name(prefix + member.filename), lambda member=member: read(member)) for member in members]  # type: ignore[misc]
