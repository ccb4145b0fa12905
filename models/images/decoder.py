"""Read a picture into 8-bit RGB: PNG, JPEG, TIFF through OpenCV, FITS through astropy.

Size and completeness are read from the file's header before anything is decoded, so that a broken or absurd file
costs neither memory nor a wrong result: a decoder would return a truncated JPEG as a picture with a grey bottom.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ...errors import ImageError, UserError
from .fits_reader import read_fits
from .headers import read_image_size, validate_image_size
from .stretch import raw_of, to_rgb8

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".fits", ".fit", ".fts")
FITS_SUFFIXES = (".fits", ".fit", ".fts")
RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""How a JPEG is decoded: it has 8 bits and no transparency, and is made red, green, blue without a second copy."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded picture: pixels (H, W, 3) uint8 RGB, and what is known of it; `raw` where it has more than 8 bits."""

    pixels: np.ndarray
    stretch: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    time: datetime.datetime | None = None
    raw: np.ndarray | None = None


def decode_image(content: bytes, name: str) -> DecodedImage:
    """Decode a picture's bytes.

    Grey, RGBA and palette pictures become RGB (transparency over black); more than 8 bits are stretched.

    Args:
        content: the whole file.
        name: for messages, and for the suffix that marks FITS.

    Raises:
        BadPicture: empty, truncated, not a picture, smaller than 16 or larger than 32,000 pixels a side.
        UsageError: FITS without astropy.
    """
    if not content:
        raise ImageError(name, "the file is empty")
    try:
        if content.startswith(b"SIMPLE  =") or name.lower().endswith(FITS_SUFFIXES):
            return _decode_fits(content, name)
        return _decode(content, name)
    except UserError:
        raise
    except Exception as problem:  # noqa: BLE001 - what decoders raise of damaged bytes has no end; it is this picture's
        reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
        raise ImageError(name, f"it is truncated or damaged ({reason})") from None


def _decode(content: bytes, name: str) -> DecodedImage:
    size, jpeg = read_image_size(content, name), content.startswith(b"\xff\xd8")
    if size is not None:
        validate_image_size(*size, name)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), RGB if jpeg else cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(name, "it cannot be decoded; it may be damaged")
    validate_image_size(image.shape[1], image.shape[0], name)
    if jpeg:
        return DecodedImage(image)
    if image.ndim == 3:
        channels = image.shape[2]
        if channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        else:
            image = _flatten(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)) if channels == 4 else image[..., 0]
    pixels, stretch = to_rgb8(image)
    return DecodedImage(pixels, stretch, raw=raw_of(image))


def _decode_fits(content: bytes, name: str) -> DecodedImage:
    data, header, time = read_fits(content, name)
    pixels, stretch = to_rgb8(data)
    return DecodedImage(pixels, stretch, header, time, raw_of(data))


def _flatten(rgba: np.ndarray) -> np.ndarray:
    """Lay an RGBA picture over black, as the sky is; the depth stays."""
    full = np.iinfo(rgba.dtype).max if rgba.dtype.kind == "u" else 1.0
    return np.round(rgba[..., :3] * (rgba[..., 3:].astype(np.float64) / full)).astype(rgba.dtype)
