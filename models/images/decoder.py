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

from ...runtime.errors import BadPicture, UserError
from .fits_reader import read_fits
from .headers import check_size, header_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".fits", ".fit", ".fts")
FITS_SUFFIXES = (".fits", ".fit", ".fts")
RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""How a JPEG is decoded: it has 8 bits and no transparency, and is made red, green, blue without a second copy."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture: pixels (H, W, 3) uint8 RGB, and what is known of it; `raw` where it has more than 8 bits."""

    pixels: np.ndarray
    stretch: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    time: datetime.datetime | None = None
    raw: np.ndarray | None = None


def decode_picture(content: bytes, name: str) -> Picture:
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
        raise BadPicture(name, "the file is empty")
    try:
        if content.startswith(b"SIMPLE  =") or name.lower().endswith(FITS_SUFFIXES):
            return _decode_fits(content, name)
        return _decode(content, name)
    except UserError:
        raise
    except Exception as problem:  # noqa: BLE001 - what decoders raise of damaged bytes has no end; it is this picture's
        reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
        raise BadPicture(name, f"it is truncated or damaged ({reason})") from None


def _decode(content: bytes, name: str) -> Picture:
    size, jpeg = header_size(content, name), content.startswith(b"\xff\xd8")
    if size is not None:
        check_size(*size, name)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), RGB if jpeg else cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise BadPicture(name, "it cannot be decoded; it may be damaged")
    check_size(image.shape[1], image.shape[0], name)
    if jpeg:
        return Picture(image)
    if image.ndim == 3:
        channels = image.shape[2]
        if channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        else:
            image = _flatten(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)) if channels == 4 else image[..., 0]
    pixels, stretch = to_rgb8(image)
    return Picture(pixels, stretch, raw=raw_of(image))


def _decode_fits(content: bytes, name: str) -> Picture:
    data, header, time = read_fits(content, name)
    pixels, stretch = to_rgb8(data)
    return Picture(pixels, stretch, header, time, raw_of(data))


def to_rgb8(image: np.ndarray) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Bring (H, W) or (H, W, 3) of any depth to (H, W, 3) uint8; return the stretch if one was needed.

    The stretch is one for all channels: black at the median less one robust sigma, white at the 99.8th percentile,
    and between them asinh (Lupton et al. 2004, PASP 116, 133). Values that are not finite become black.
    """
    if image.dtype == np.uint8:
        stretch = None
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # what is beyond float32 or not finite becomes black
            image, stretch = _stretched(image.astype(np.float32))
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image), stretch


def raw_of(image: np.ndarray) -> np.ndarray | None:
    """Return a picture of more than 8 bits as uint16 or float32, finite; None for one of 8 bits."""
    if image.dtype in (np.uint8, np.uint16):
        return None if image.dtype == np.uint8 else np.ascontiguousarray(image)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.ascontiguousarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)


def _stretched(data: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    luminance = data if data.ndim == 2 else data.mean(axis=2)
    finite = luminance[np.isfinite(luminance)]
    if finite.size == 0:
        finite = np.zeros(1, np.float32)
    finite = finite[:: max(1, finite.size // 1_000_000)]
    median = float(np.median(finite))
    sigma = 1.4826 * float(np.median(np.abs(finite - median)))
    black = median - sigma
    white = float(np.percentile(finite, 99.8))
    if not white > black:
        black, white = float(finite.min()), float(finite.max())
    white = max(white, black + 1e-6 * max(1.0, abs(black)))
    softening = 0.1
    level = np.clip(np.nan_to_num((data - black) / (white - black), nan=0.0), 0.0, 1.0)
    level = np.arcsinh(level / softening) / np.arcsinh(1.0 / softening)
    stretch = {"kind": "asinh", "black": black, "white": white, "softening": softening}
    return np.round(level * 255.0).astype(np.uint8), stretch


def _flatten(rgba: np.ndarray) -> np.ndarray:
    """Lay an RGBA picture over black, as the sky is; the depth stays."""
    full = np.iinfo(rgba.dtype).max if rgba.dtype.kind == "u" else 1.0
    return np.round(rgba[..., :3] * (rgba[..., 3:].astype(np.float64) / full)).astype(rgba.dtype)
