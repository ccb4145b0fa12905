"""Where frames come from: the demo sky, a picture, a folder or zip of pictures, a video file, a camera, a stream."""

from __future__ import annotations

import datetime
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from .errors import BadPicture, RunFailure, UsageError
from .frame import Frame
from .pictures import SUFFIXES, decode_picture

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ser", ".mpg", ".mpeg")
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
MAX_FILE = 2**30


class Source(Protocol):
    """Frames, one after another.

    Attributes:
        name: how it was asked for.
        continuous: whether one frame follows from the last (video, camera), so that objects can be followed.
        live: whether frames come when they like (camera), so that only the newest is worth looking at.
        length: number of frames if known.
        bad: number of pictures that could not be read and were skipped.
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
    camera: str, on_bad: Callable[[BadPicture], None], on_lost: Callable[[str], None] = lambda _: None
) -> Source:
    """Open what ``--camera`` names.

    Args:
        camera: ``demo``, a picture, a folder or zip of pictures, a video file, ``/dev/videoN`` or an index N, or
            the address of a stream.
        on_bad: told of each picture that is skipped.
        on_lost: told in one line when a camera is lost, and when it is back.

    Raises:
        UsageError: there is no such source, or nothing in it.
        BadPicture: the one picture that was named cannot be read.
    """
    if camera == "demo":
        from .demo import DemoSky

        return DemoSky()
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", camera)
    if device:
        from .video import v4l2_camera

        return v4l2_camera(int(device[1]), on_lost)
    if camera.startswith(STREAMS):
        from .video import stream

        return stream(camera, on_lost)
    path = Path(camera).expanduser()
    if camera.startswith("/dev/"):
        raise UsageError(f"'{camera}' is no camera: give /dev/videoN or its number (galaxy-edge devices lists them)")
    try:
        if path.is_dir():
            return Pictures(camera, _folder_entries(path), on_bad)
        if not path.is_file():
            known = "a picture, folder, zip, video, camera, stream or demo"
            raise UsageError(f"the source '{camera}' does not exist: give {known}")
        if zipfile.is_zipfile(path):
            return Pictures(camera, _zip_entries(path, ""), on_bad)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            from .video import VideoFile

            return VideoFile(path)
    except PermissionError as problem:
        raise UsageError(f"'{problem.filename}' cannot be read: permission denied") from None
    if path.suffix.lower() == ".zip":
        raise UsageError(f"'{camera}' is not a zip file, or a damaged one")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"'{camera}' is neither a picture ({', '.join(SUFFIXES)}), a zip nor a video ({', '.join(VIDEO_SUFFIXES)})"
        )
    entry = (path.name, lambda: _read_file(path))
    decode_picture(entry[1](), path.name)  # one picture that is bad is a wrong argument, not a skipped frame
    return Pictures(camera, [entry], on_bad)


Entry = tuple[str, Callable[[], bytes]]


class Pictures:
    """Pictures from files or zips, in the order of their names."""

    continuous = False
    live = False
    reopened = 0

    def __init__(self, name: str, entries: list[Entry], on_bad: Callable[[BadPicture], None]) -> None:
        if not entries:
            raise UsageError(f"'{name}' holds no picture ({', '.join(SUFFIXES)})")
        self.name = name
        self.length: int | None = len(entries)
        self.bad = 0
        self._entries = entries
        self._on_bad = on_bad

    def __iter__(self) -> Iterator[Frame]:
        """Decode one picture at a time; skip and report the bad ones."""
        number = 0
        for name, read in self._entries:
            try:
                picture = decode_picture(read(), name)
            except BadPicture as problem:
                self.bad += 1
                self._on_bad(problem)
                continue
            time = picture.time or datetime.datetime.now(datetime.UTC)
            yield Frame(picture.pixels, time, name, number, picture.stretch, picture.header, picture.raw)
            number += 1
        if number == 0 and self._entries:
            raise RunFailure(f"none of the {len(self._entries)} pictures in '{self.name}' could be read")


def _read_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise BadPicture(path.name, f"the file is larger than {MAX_FILE >> 20} MiB")
        return path.read_bytes()
    except OSError as problem:
        raise BadPicture(path.name, f"it cannot be read: {problem.strerror}") from None


def _folder_entries(folder: Path) -> list[Entry]:
    """List the pictures of a folder and of the zips in it, by name, at any depth."""
    entries: list[Entry] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix.lower() in SUFFIXES:
            entries.append((name, lambda path=path: _read_file(path)))  # type: ignore[misc]
        elif path.suffix.lower() == ".zip":
            entries.extend(_zip_entries(path, name + "/"))
    return entries


def _zip_entries(path: Path, prefix: str) -> list[Entry]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UsageError(f"'{path}' is not a zip file, or a damaged one") from None
    members = [member for member in archive.infolist() if Path(member.filename).suffix.lower() in SUFFIXES]

    def read(member: zipfile.ZipInfo) -> bytes:
        # The stated size bounds what is unpacked: a bomb that lies about it fails its checksum at that size.
        if member.file_size > MAX_FILE:
            raise BadPicture(prefix + member.filename, f"unpacked it is larger than {MAX_FILE >> 20} MiB")
        try:
            return archive.read(member)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as problem:
            raise BadPicture(prefix + member.filename, f"it cannot be unpacked: {problem}") from None

    members.sort(key=lambda member: member.filename)
    return [(prefix + member.filename, lambda member=member: read(member)) for member in members]  # type: ignore[misc]
