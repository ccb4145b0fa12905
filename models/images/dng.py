"""Read DNG, the raw format of phones and some cameras, with rawpy."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ImageError, UsageError
from .headers import ImageHeader


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
        raise UsageError(f"{name} is DNG, which needs rawpy: pip install 'galaxy-edge[raw]'") from None
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            sizes, samples = raw.sizes, 8 if raw.raw_pattern is None else 2  # linear values are kept with a fourth
            check(ImageHeader(sizes.raw_width, sizes.raw_height, samples, 6, samples), 2 * len(content))
            values = raw.raw_image_visible.copy()
            pattern = raw.raw_pattern
            colours = raw.color_desc.decode("ascii", "replace")
    except rawpy.LibRawError as error:
        raise ImageError(name, f"it is truncated or damaged ({error})") from None
    if values.ndim == 3:
        return np.ascontiguousarray(values[..., :3]), {}, None, None
    if pattern is None or len(set(pattern.ravel())) == 1:
        return values, {}, None, None
    if pattern.shape != (2, 2):
        raise ImageError(name, "its mosaic of colours is not a Bayer pattern, and is not read")
    return values, {}, None, "".join(colours[index] for index in pattern.ravel())
