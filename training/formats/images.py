"""Where a label's picture is, and how large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import SUFFIXES, decode_image
from .annotation import ImageAnnotation, LabelError


class BrokenImageError(ValueError):
    """Bytes that are no whole picture; the message says what is wrong with them."""


def to_label_error(error: Exception, file: str) -> LabelError:
    """Make of what went wrong with a file the label error that names it."""
    if isinstance(error, LabelError):
        return error
    kind = "broken picture" if isinstance(error, BrokenImageError) else "unreadable label"
    if isinstance(error, UnicodeDecodeError):
        return LabelError(kind, file, f"is no UTF-8 text: {error.object[error.start]:#04x} at byte {error.start}")
    if isinstance(error, OSError):
        return LabelError(kind, file, f"cannot be read: {error.strerror}")
    return LabelError(kind, file, str(error))


def decode(content: bytes) -> np.ndarray:
    """Decode an image to (H, W, 3) uint8 RGB with the decoder of the runtime.

    Boxes of labels refer to these pixels: the EXIF orientation is applied.

    Raises:
        BrokenPicture: it is not an image that can be decoded, or is truncated.
    """
    try:
        return decode_image(content, "").pixels
    except ImageError as error:
        raise BrokenImageError(error.reason) from None


def image_size(content: bytes) -> tuple[int, int]:
    """Tell a picture's width and height in pixels.

    Raises:
        BrokenPicture: see `decode`.
    """
    height, width = decode(content).shape[:2]
    return width, height


def load_image(one: ImageAnnotation) -> np.ndarray:
    """Decode a labelled picture to (H, W, 3) uint8 RGB.

    Raises:
        BrokenPicture: see `decode`. DataError: it is not there.
    """
    return decode(one.read_bytes())


def is_image_file(path: Path) -> bool:
    """Tell a picture file by its ending."""
    return path.suffix.lower() in SUFFIXES


def list_files(folder: Path) -> Iterator[Path]:
    """List the files in a folder and its folders, sorted; what is hidden is passed over.

    Raises:
        LabelError: a folder cannot be read, and what is in it would be missed.
    """

    def refuse(error: OSError) -> None:
        raise LabelError("unreadable label", str(error.filename), f"the folder cannot be read: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))
