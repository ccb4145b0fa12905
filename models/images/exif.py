"""Image orientation: the EXIF tag of JPEG and PNG.

That of TIFF is read with its directory, see `tiff`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np

ORIENTATION_TAG = 0x0112
SHORT = 3


def read_orientation(content: bytes) -> int:
    """Read the orientation of a JPEG, PNG or TIFF file (not BigTIFF).

    Returns:
        1 to 8 (Exif 2.32, section 4.6.4); 1, no rotation, if the tag is missing or invalid.
    """
    entry = _find_entry(content)
    if entry is None:
        return 1
    offset, order = entry
    (orientation,) = struct.unpack_from(order + "H", content, offset + 8)
    return orientation if 1 <= orientation <= 8 else 1


def apply_orientation(image: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror stored pixels (H, W) or (H, W, C) by `orientation`.

    5 to 8 swap width and height.
    """
    if orientation == 2:
        return cv2.flip(image, 1)
    if orientation == 3:
        return cv2.rotate(image, cv2.ROTATE_180)
    if orientation == 4:
        return cv2.flip(image, 0)
    if orientation == 5:
        return cv2.transpose(image)
    if orientation == 6:
        return cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    if orientation == 7:
        return cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
    if orientation == 8:
        return cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return image


def _find_entry(content: bytes) -> tuple[int, str] | None:
    """Return the offset of the orientation's directory entry and the byte order.

    The byte order is "<" or ">".
    """
    start = _tiff_start(content)
    if start is None or content[start : start + 4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if content[start : start + 2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", content, start + 4)
        (count,) = struct.unpack_from(order + "H", content, start + directory)
        for index in range(count):
            offset = start + directory + 2 + 12 * index
            tag, kind, values = struct.unpack_from(order + "HHI", content, offset)
            if tag == ORIENTATION_TAG and values == 1 and kind == SHORT and offset + 12 <= len(content):
                return offset, order
    except struct.error:
        pass  # a truncated directory has no orientation; the decoder finds out whether the image is damaged
    return None


def _tiff_start(content: bytes) -> int | None:
    """Return the offset of the TIFF structure with the tags.

    It is the file itself, or the EXIF block in it.
    """
    if content[:4] in (b"II*\0", b"MM\0*"):
        return 0
    if content.startswith(b"\xff\xd8"):
        blocks = _jpeg_segments(content)
        return next((start + 6 for marker, start in blocks if marker == 0xE1 and _is_exif(content, start)), None)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_exif(content)
    return None


def _is_exif(content: bytes, start: int) -> bool:
    return content.startswith(b"Exif\0\0", start)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker and the start of the data of each segment.

    Segments after the start of the first scan are left out.
    """
    offset = 2
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == 0xDA:  # the scan begins
            return
        yield marker, offset + 4
        offset += 2 + int.from_bytes(content[offset + 2 : offset + 4])


def _png_exif(content: bytes) -> int | None:
    offset = 8
    while offset + 8 <= len(content):
        kind = content[offset + 4 : offset + 8]
        if kind == b"eXIf":
            return offset + 8
        if kind == b"IEND":
            return None
        offset += 12 + int.from_bytes(content[offset : offset + 4])
    return None
