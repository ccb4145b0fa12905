"""Find and decode the images that labels refer to."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import SUFFIXES, decode_image
from .annotation import ImageAnnotation, LabelError


class BrokenImageError(ValueError):
    """Bytes that are not a complete image; the message says what is wrong with them."""


def to_label_error(error: Exception, file: str) -> LabelError:
    """Return the label error for an exception that a file caused."""
    if isinstance(error, LabelError):
        return error
    kind = "broken picture" if isinstance(error, BrokenImageError) else "unreadable label"
    if isinstance(error, UnicodeDecodeError):
        return LabelError(kind, file, f"is not UTF-8 text: {error.object[error.start]:#04x} at byte {error.start}")
    if isinstance(error, OSError):
        return LabelError(kind, file, f"cannot be read: {error.strerror}")
    return LabelError(kind, file, str(error))


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte-order mark.

    The result has no mark, and its lines end with a line feed only.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read, or is not such a text.
    """
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode(content: bytes, name: str = "") -> np.ndarray:
    """Decode an image to (H, W, 3) uint8 RGB as the runtime does.

    Images of more than 8 bits are developed.

    The EXIF orientation is applied. A Bayer mosaic becomes superpixels of half the size, see `decode_with_size`.

    Args:
        content: the file; name: its name, whose suffix identifies the format if the first bytes do not.

    Raises:
        BrokenImageError: it is not an image that can be decoded, or is truncated.
    """
    return decode_with_size(content, name)[0]


def decode_with_size(content: bytes, name: str = "") -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an image, and return the size to which its labels refer.

    The image is that of `decode`. The size is the width and height in pixels of the file, as labelling programs show
    it: of a Bayer mosaic, twice as many along a side.

    Raises:
        BrokenImageError: see `decode`.
    """
    try:
        image = decode_image(content, name)
    except ImageError as error:
        raise BrokenImageError(error.reason) from None
    height, width = (image.pixels if image.raw is None or image.binning == 1 else image.raw).shape[:2]
    return image.pixels, (width, height)


def image_size(content: bytes, name: str = "") -> tuple[int, int]:
    """Return the width and height of an encoded image in pixels of the file.

    Raises:
        BrokenImageError: see `decode`.
    """
    return decode_with_size(content, name)[1]


def load_image(annotation: ImageAnnotation) -> np.ndarray:
    """Decode an annotated image to (H, W, 3) uint8 RGB.

    Raises:
        BrokenImageError: see `decode`. DataError: it does not exist.
    """
    return decode(annotation.read_bytes(), annotation.file)


def is_image_file(path: Path) -> bool:
    """Return whether a path has the suffix of an image file."""
    return path.suffix.lower() in SUFFIXES


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, sorted, without hidden ones.

    Raises:
        LabelError: a folder cannot be read: its files would be missed.
    """

    def refuse(error: OSError) -> None:
        raise LabelError("unreadable label", str(error.filename), f"the folder cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))
