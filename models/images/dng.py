"""Read DNG, the raw format of phones and some cameras, with rawpy."""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ImageError, UsageError
from ...extras import extra_command
from .headers import ImageHeader

_BITS, _SAMPLES, _SUB_IMAGES = 258, 277, 330


def read_dng(
    content: bytes, name: str, check: Callable[[ImageHeader, int], None]
) -> tuple[np.ndarray, dict[str, Any], datetime.datetime | None, str | None]:
    """Read the sensor's values.

    Args:
        content: the file.
        name: for error messages.
        check: called with the image's size and depth, and the bytes in use, before it is decoded.

    Returns:
        (H, W) or (H, W, 3) uint16, no keywords, no time, and the Bayer pattern; None where it is not a mosaic.

    Raises:
        ImageError: it is damaged, or a mosaic that is not of 2 x 2 pixels.
        UsageError: rawpy is missing.
    """
    try:
        import rawpy
    except ImportError:
        raise UsageError(f"{name} is DNG, which needs rawpy: {extra_command('raw')}") from None
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            # Its size is known now; whatever else is asked for, LibRaw decodes it first.
            sizes, samples = raw.sizes, 8 if _may_be_linear(content) else 2  # linear values are kept with a fourth
            check(ImageHeader(sizes.raw_width, sizes.raw_height, samples, 6, samples), 2 * len(content))
            values = raw.raw_image_visible.copy()
            pattern = raw.raw_pattern
            colours = raw.color_desc.decode("ascii", "replace")
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        raise ImageError(name, f"it is truncated or damaged ({text})") from None
    if values.ndim == 3:
        return np.ascontiguousarray(values[..., :3]), {}, None, None
    if pattern is None or len(set(pattern.ravel())) == 1:
        return values, {}, None, None
    if pattern.shape != (2, 2):
        raise ImageError(name, "its mosaic of colours is not a Bayer pattern, and is not read")
    return values, {}, None, "".join(colours[index] for index in pattern.ravel())


def _may_be_linear(content: bytes) -> bool:
    """Return whether an image of the file may have several values for each pixel.

    Previews of 8 bits do not count.
    """
    order = "<" if content[:2] == b"II" else ">"
    waiting, seen = [4], set()
    try:
        while waiting:
            (directory,) = struct.unpack_from(order + "I", content, waiting.pop())
            if not directory or directory in seen:
                continue
            seen.add(directory)
            (count,) = struct.unpack_from(order + "H", content, directory)
            tags: dict[int, tuple[int, int, int]] = {}
            for at in range(directory + 2, directory + 2 + 12 * count, 12):
                tag, kind, number, value = struct.unpack_from(order + "HHII", content, at)
                tags[tag] = kind, number, at + 8 if number * (2 if kind == 3 else 4) <= 4 else value
            if _SUB_IMAGES in tags:
                waiting += [tags[_SUB_IMAGES][2] + 4 * index for index in range(min(tags[_SUB_IMAGES][1], 100))]
            waiting.append(directory + 2 + 12 * count)
            samples, bits = (_first(content, order, tags.get(tag)) for tag in (_SAMPLES, _BITS))
            if samples > 1 and bits != 8:
                return True
    except struct.error:
        return True
    return False


def _first(content: bytes, order: str, entry: tuple[int, int, int] | None) -> int:
    """Return the first value of a directory's entry, 1 where it is missing."""
    if entry is None:
        return 1
    kind, _, at = entry
    return int(struct.unpack_from(order + ("H" if kind == 3 else "I"), content, at)[0])
