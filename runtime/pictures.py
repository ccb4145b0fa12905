"""Read a picture into 8-bit RGB: PNG, JPEG, TIFF through OpenCV, FITS through astropy.

Size and completeness are read from the file's header before anything is decoded, so that a broken or absurd file
costs neither memory nor a wrong result: a decoder would return a truncated JPEG as a picture with a grey bottom.
"""

from __future__ import annotations

import datetime
import io
import struct
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from .errors import BadPicture, UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".fits", ".fit", ".fts")
FITS_SUFFIXES = (".fits", ".fit", ".fts")
MIN_SIDE = 16
MAX_SIDE = 32_000
MAX_PIXELS = 200_000_000


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
    if content.startswith(b"SIMPLE  =") or name.lower().endswith(FITS_SUFFIXES):
        return _decode_fits(content, name)
    size = _header_size(content, name)
    if size is not None:
        _check_size(*size, name)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise BadPicture(name, "it cannot be decoded; it may be damaged")
    _check_size(image.shape[1], image.shape[0], name)
    if image.ndim == 3:
        channels = image.shape[2]
        if channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        else:
            image = _flatten(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)) if channels == 4 else image[..., 0]
    pixels, stretch = to_rgb8(image)
    return Picture(pixels, stretch, raw=raw_of(image))


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


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise BadPicture(name, f"{width}x{height} pixels is too small; the least is {MIN_SIDE} a side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        most = f"{MAX_SIDE} a side and {MAX_PIXELS // 10**6} million"
        raise BadPicture(name, f"{width}x{height} pixels is too large; the most is {most}")


def _header_size(content: bytes, name: str) -> tuple[int, int] | None:
    """Read width and height from a PNG, JPEG or TIFF header, and see that the file is whole.

    Returns:
        None when the header does not tell in the usual place (some TIFF).
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        if b"IEND\xaeB`\x82" not in content[-1024:]:
            raise BadPicture(name, "the PNG is truncated: its end is missing")
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content, name)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_size(content, name)
    raise BadPicture(name, "it is no PNG, JPEG, TIFF or FITS picture")


def _jpeg_size(content: bytes, name: str) -> tuple[int, int]:
    place, size = 2, None
    try:
        while content[place] == 0xFF:
            marker = content[place + 1]
            if marker == 0xFF:
                place += 1
                continue
            (length,) = struct.unpack(">H", content[place + 2 : place + 4])
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", content[place + 5 : place + 9])
                size = (width, height)
            place += 2 + length
            if marker == 0xDA:  # the scan begins; in it, only a real end marker is FF D9
                break
    except (IndexError, struct.error):
        raise BadPicture(name, "the JPEG is truncated: its header breaks off") from None
    if size is None:
        raise BadPicture(name, "the JPEG is damaged: it does not say its size")
    if content.find(b"\xff\xd9", place) < 0:
        raise BadPicture(name, "the JPEG is truncated: its end is missing")
    return size


def _tiff_size(content: bytes, name: str) -> tuple[int, int] | None:
    order = "<" if content[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, directory)
        values = {}
        for entry in range(count):
            tag, kind = struct.unpack_from(order + "HH", content, directory + 2 + 12 * entry)
            if tag in (256, 257):
                layout = order + ("H" if kind == 3 else "I")
                (values[tag],) = struct.unpack_from(layout, content, directory + 2 + 12 * entry + 8)
    except struct.error:
        raise BadPicture(name, "the TIFF is truncated: its directory breaks off") from None
    return (values[256], values[257]) if len(values) == 2 else None


def _decode_fits(content: bytes, name: str) -> Picture:
    try:
        from astropy.io import fits
        from astropy.time import Time
    except ImportError:
        raise UsageError(f"{name} is FITS, which needs astropy: pip install 'galaxy-edge[fits]'") from None
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # what astropy only warns of either does no harm or fails below
            for unit in stack.enter_context(fits.open(io.BytesIO(content), memmap=False)):
                axes: tuple[int, ...] = unit.shape if unit.is_image else ()
                if len(axes) == 2 or (len(axes) == 3 and 3 in (axes[0], axes[2])) or (len(axes) == 3 and axes[0] == 1):
                    break
            else:
                raise BadPicture(name, "the FITS file holds no picture (no image of 2 axes, or of 3 colours)")
            if len(axes) == 3 and axes[2] == 3:
                _check_size(axes[1], axes[0], name)
            else:
                _check_size(axes[-1], axes[-2], name)
            data = np.asarray(unit.data)
            header = {key: value for key, value in unit.header.items() if key not in ("", "COMMENT", "HISTORY")}
    except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise BadPicture(name, f"the FITS file is truncated or damaged ({reason})") from None
    if data.ndim == 3:
        data = data[0] if data.shape[0] == 1 else (np.moveaxis(data, 0, 2) if data.shape[0] == 3 else data)
    if data.dtype == np.uint8:
        pixels, stretch = to_rgb8(np.ascontiguousarray(data))
    else:
        pixels, stretch = to_rgb8(np.ascontiguousarray(data))
    time = None
    if isinstance(header.get("DATE-OBS"), str):
        try:
            time = Time(header["DATE-OBS"], scale="utc").to_datetime(timezone=datetime.UTC)
        except ValueError:
            time = None  # a date that cannot be read is the same as none
    return Picture(pixels, stretch, header, time, raw_of(data))
