"""Where frames come from: the demo sky, a picture, a folder or zip of pictures, a video file, a camera, a stream."""

from __future__ import annotations

import datetime
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ...models.images.decoder import SUFFIXES, Picture, decode_picture
from ..errors import BadPicture, RunFailure, UsageError
from ..frame import Frame
from ..system.address import masked, readable
from ..system.prefetch import ahead

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ser", ".mpg", ".mpeg")
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
MAX_FILE = 2**30
KNOWN = "a picture, folder, zip, video, camera, stream or demo"
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, ValueError, EOFError, OSError, struct.error)
"""What reading a damaged zip, one with a password or one of a later make raises (NotImplementedError among it)."""


class Source(Protocol):
    """Frames, one after another.

    Attributes:
        name: how it was asked for.
        continuous: whether one frame follows from the last (video, camera), so that objects can be followed.
        live: whether frames come when they like (camera), so that only the newest is worth looking at.
        length: number of frames if known.
        bad: number of pictures or frames that could not be read and were skipped.
        reopened: how often it was lost and came back.
    """

    name: str
    continuous: bool
    live: bool
    length: int | None
    bad: int
    reopened: int

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, numbered from 0."""
        ...


def open_source(
    camera: str,
    on_bad: Callable[[BadPicture], None],
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
        from .demo import DemoSky

        return DemoSky()
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", camera)
    if device:
        from .v4l2 import v4l2_camera

        return v4l2_camera(int(device[1]), on_lost)
    if camera.lower().startswith(STREAMS):
        from .video import stream

        scheme, rest = camera.split("://", 1)
        return stream(f"{scheme.lower()}://{rest}", on_lost)  # FFmpeg knows them in small letters only
    path = Path(camera).expanduser()
    if camera.startswith("/dev/"):
        raise UsageError(f"'{camera}' is no camera: give /dev/videoN or its number (galaxy-edge devices lists them)")
    try:
        if path.is_dir():
            return Pictures(camera, _folder_entries(path, out), on_bad, sequence, at_once)
        if not path.is_file():
            wrong = "is no regular file" if path.exists() else "does not exist"
            raise UsageError(f"the source '{masked(camera)}' {wrong}: give {KNOWN}")
        if zipfile.is_zipfile(path):
            return Pictures(camera, _zip_entries(path, readable(path.name)), on_bad, sequence, at_once)
        if path.suffix.lower() == ".ser":
            from .ser import SerFile

            return SerFile(path, on_lost)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            from .video import VideoFile

            return VideoFile(path, on_lost)
    except PermissionError as problem:
        raise UsageError(f"'{problem.filename}' cannot be read: permission denied") from None
    if path.suffix.lower() == ".zip":
        raise UsageError(f"'{camera}' is not a zip file, or a damaged one")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"'{camera}' is neither a picture ({', '.join(SUFFIXES)}), a zip nor a video ({', '.join(VIDEO_SUFFIXES)})"
        )
    entry = (readable(path.name), lambda: _read_file(path))
    decode_picture(entry[1](), entry[0])  # one picture that is bad is a wrong argument, not a skipped frame
    return Pictures(camera, [entry], on_bad)


Entry = tuple[str, Callable[[], bytes]]


class Pictures:
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
        on_bad: Callable[[BadPicture], None],
        sequence: bool = False,
        at_once: int = 1,
    ) -> None:
        if not entries:
            raise UsageError(f"'{name}' holds no picture ({', '.join(SUFFIXES)})")
        self.name = readable(name)
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
            (name for name, _ in self._entries), ahead(_decoded, self._entries, self._at_once), strict=True
        ):
            try:
                picture = result()
            except BadPicture as problem:
                self.bad += 1
                self._on_bad(problem)
                continue
            time = picture.time or datetime.datetime.now(datetime.UTC)
            yield Frame(picture.pixels, time, name, number, picture.stretch, picture.header, picture.raw)
            del picture, result  # nothing is held while the next is waited for
            number += 1
        if number == 0 and self._entries:
            raise RunFailure(f"none of the {len(self._entries)} pictures in '{self.name}' could be read")


def _decoded(entry: Entry) -> Picture:
    name, read = entry
    return decode_picture(read(), name)


def _read_file(path: Path) -> bytes:
    try:
        _check_regular(path, readable(path.name))
        if path.stat().st_size > MAX_FILE:
            raise BadPicture(readable(path.name), f"the file is larger than {MAX_FILE >> 20} MiB")
        return path.read_bytes()
    except OSError as problem:
        raise BadPicture(readable(path.name), f"it cannot be read: {problem.strerror}") from None


def _check_regular(path: Path, name: str) -> None:
    """Refuse what is no file: a named pipe would be waited for until someone writes into it."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadPicture(name, "it is no regular file")


def _folder_entries(folder: Path, out: Path | None) -> list[Entry]:
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
        name = readable(inside.as_posix())
        if path.suffix.lower() in SUFFIXES:
            entries.append((name, lambda path=path: _read_file(path)))  # type: ignore[misc]
        elif path.suffix.lower() == ".zip":
            try:
                entries.extend(_zip_entries(path, name, name + "/"))
            except BadPicture as problem:
                entries.append((name, _failing(problem)))  # told of and counted in its turn, like a picture
    return entries


def _failing(problem: BadPicture) -> Callable[[], bytes]:
    def read() -> bytes:
        raise problem

    return read


def _zip_entries(path: Path, name: str, prefix: str = "") -> list[Entry]:
    """List the pictures in a zip by name.

    Raises:
        BadPicture: it cannot be read.
    """
    try:
        _check_regular(path, name)
        archive = zipfile.ZipFile(path)
    except _DAMAGED as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise BadPicture(name, f"it is no zip file that can be read, or a damaged one ({reason})") from None
    members = [member for member in archive.infolist() if Path(member.filename).suffix.lower() in SUFFIXES]

    def read(member: zipfile.ZipInfo) -> bytes:
        # The stated size bounds what is unpacked: a bomb that lies about it fails its checksum at that size.
        if member.file_size > MAX_FILE:
            raise BadPicture(readable(prefix + member.filename), f"unpacked it is larger than {MAX_FILE >> 20} MiB")
        try:
            return archive.read(member)
        except _DAMAGED as problem:
            raise BadPicture(readable(prefix + member.filename), f"it cannot be unpacked: {problem}") from None

    members.sort(key=lambda member: member.filename)
    return [(readable(prefix + member.filename), lambda member=member: read(member)) for member in members]  # type: ignore[misc]
