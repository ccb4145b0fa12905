"""Which bytes of a file a browser asks for, e.g. to seek in a video."""

from __future__ import annotations

import re
from io import BufferedIOBase
from typing import BinaryIO

_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")
_CHUNK = 1 << 18


class RangeNotSatisfiable(ValueError):
    """The range begins behind the end of the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last of a Range header.

    Args:
        header: e.g. ``bytes=0-99``, ``bytes=100-`` or ``bytes=-100``; None for none.
        size: of the file.

    Returns:
        None for the whole file: there is no header, or it is malformed, has several ranges or another unit, and is
        ignored, as RFC 9110 allows.

    Raises:
        RangeNotSatisfiable: the range has no byte of the file.
    """
    match = _RANGE.fullmatch(header or "")
    if not match or match[1] == match[2] == "":
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(f"the file has {size} bytes")
    return first, end


def copy_bytes(source: BinaryIO, target: BufferedIOBase, count: int) -> None:
    """Copy up to `count` bytes: a file may grow while it is sent."""
    while count > 0 and (content := source.read(min(count, _CHUNK))):
        target.write(content)
        count -= len(content)
