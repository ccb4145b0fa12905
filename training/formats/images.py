"""Where a label's picture is, and how large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import SUFFIXES, decode_image
from .annotation import ImageAnnotation, LabelError


class BrokenPicture(ValueError):
    """Bytes that are no whole picture; the message says what is wrong with them."""


def fault_of(problem: Exception, file: str) -> LabelError:
    """Make of what went wrong with a file the label error that names it."""
    if isinstance(problem, LabelError):
        return problem
    kind = "broken picture" if isinstance(problem, BrokenPicture) else "unreadable label"
    if isinstance(problem, UnicodeDecodeError):
        return LabelError(kind, file, f"is no UTF-8 text: {problem.object[problem.start]:#04x} at byte {problem.start}")
    if isinstance(problem, OSError):
        return LabelError(kind, file, f"cannot be read: {problem.strerror}")
    return LabelError(kind, file, str(problem))


def decode(content: bytes) -> np.ndarray:
    """Decode an image to (H, W, 3) uint8 RGB with the decoder of the runtime.

    Boxes of labels refer to these pixels: the EXIF orientation is applied.

    Raises:
        BrokenPicture: it is not an image that can be decoded, or is truncated.
    """
    try:
        return decode_image(content, "").pixels
    except ImageError as error:
        raise BrokenPicture(error.reason) from None


def size_of(content: bytes) -> tuple[int, int]:
    """Tell a picture's width and height in pixels.

    Raises:
        BrokenPicture: see `decode`.
    """
    height, width = decode(content).shape[:2]
    return width, height


def load(one: ImageAnnotation) -> np.ndarray:
    """Decode a labelled picture to (H, W, 3) uint8 RGB.

    Raises:
        BrokenPicture: see `decode`. DataError: it is not there.
    """
    return decode(one.read_bytes())


def is_picture(path: Path) -> bool:
    """Tell a picture file by its ending."""
    return path.suffix.lower() in SUFFIXES


def files_in(folder: Path) -> Iterator[Path]:
    """List the files in a folder and its folders, sorted; what is hidden is passed over.

    Raises:
        LabelError: a folder cannot be read, and what is in it would be missed.
    """

    def refuse(problem: OSError) -> None:
        raise LabelError("unreadable label", str(problem.filename), f"the folder cannot be read: {problem.strerror}")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))
