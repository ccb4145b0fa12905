"""Write a data set next to its target, sync it to disk, and only then rename it into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..data.errors import DataError
from .annotation import ImageAnnotation, Progress

IMAGES = ("copy", "link", "none")
"""What becomes of the pictures: copied, linked to where they are, or left where they are."""


class WriteError(UserError):
    """A result that cannot be written; the message says where and why. Nothing of it is left, nothing else changed."""


@contextmanager
def staged_output(target: Path, replace: bool = False) -> Iterator[Path]:
    """Give a place beside `target` to write a file or folder at; when all is written, put it in the target's place.

    A target that exists is an error, unless it is an empty folder, or a file and `replace` is set.

    What is written next to that place goes next to the target. On any error, and on Ctrl-C, nothing is left; what a
    killed process leaves is named ``.<target>.part`` and goes when the same target is written again.

    Raises:
        WriteError: the target exists already, or the disk refuses.
    """
    target = target.absolute()
    if not replace or target.is_dir():
        ensure_free(target)
    stage = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        yield stage / target.name
        _sync(stage)
        # The target itself comes last: who sees it sees all that belongs to it.
        ready = sorted(stage.iterdir(), key=lambda path: path.name == target.name)
        for path in ready if not replace else ():
            ensure_free(target.with_name(path.name))
        for path in ready:
            os.replace(path, target.with_name(path.name))
        _sync_one(target.parent)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(f"{target} cannot be written: {reason}; nothing of it was kept") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def ensure_free(target: Path, source: Path | None = None) -> None:
    """See that nothing stands where something is to be written; an empty folder may.

    Args:
        source: what is read; if it is a folder, the target must not lie in it.

    Raises:
        WriteError: something does, or the target lies in the source.
    """
    if source and source.is_dir() and source.resolve() in target.resolve().parents:
        raise WriteError(f"{target} lies inside {source}, which would then hold both: name a place outside")
    try:
        there = target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir())))
    except OSError as error:
        raise WriteError(f"{target} cannot be looked into: {error.strerror}") from None
    if there:
        raise WriteError(f"{target} exists already, and nothing is overwritten: name another place, or remove it")


def _sync(folder: Path) -> None:
    """Force a folder and all in it to the disk."""
    for place, folders, files in os.walk(folder):
        for name in files:
            if not (path := Path(place, name)).is_symlink():
                _sync_one(path)
        for name in (*folders, "."):
            _sync_one(Path(place, name))


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, content: str) -> None:
    """Write a text file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def format_json(content: Mapping[str, Any]) -> str:
    """Give a JSON object that people can look at too: of every list in it, one item a line."""
    parts = []
    for key, value in content.items():
        text = _dump(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(_dump(item) for item in value) + "\n]"
        parts.append(f"{_dump(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def place_images(pictures: Sequence[ImageAnnotation], folder: Path, images: str, progress: Progress) -> None:
    """Put pictures into a folder under their names.

    Args:
        images: one of `IMAGES`.

    Raises:
        DataError: a picture is not there, or one inside an archive was to be linked.
    """
    for done, one in enumerate(pictures):
        progress(done, len(pictures))
        place = folder / one.file
        if images == "copy":
            write_bytes(place, one.read_bytes())
        elif images == "link":
            if not can_link(one):
                raise DataError(
                    f"{one.file} is inside {one.archive or 'nothing'}, and no file that can be linked: "
                    "use --images copy"
                )
            assert one.archive is not None
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to((one.archive / one.member).resolve())


def can_link(one: ImageAnnotation) -> bool:
    """Return whether an image is a file of its own."""
    return one.archive is not None and (one.archive / one.member).is_file()


def ensure_unique(names: Iterable[str], what: str) -> None:
    """See that no two files of a format have one name.

    Raises:
        DataError: two have.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"two pictures would have the {what} '{name}', as their names differ in the ending only: rename one"
            )
        seen.add(name)
