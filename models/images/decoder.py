"""Read an image into 8-bit RGB: PNG, JPEG, TIFF, BMP through OpenCV, FITS through astropy.

Size and completeness are read from the file's header before anything is decoded, so that a damaged or absurd file
costs no memory and gives no wrong result: a decoder would return a truncated JPEG as an image with a grey bottom.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ...errors import ImageError, UserError
from .development import Development, develop_image
from .exif import apply_orientation, read_orientation, reset_tiff_orientation
from .fits_reader import read_fits
from .frame_type import check_is_light
from .headers import read_image_size, validate_image_size
from .mosaic import bayer_pattern
from .stretch import to_rgb8

FITS_SUFFIXES = (".fits", ".fit", ".fts")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", *FITS_SUFFIXES)
MAX_SATURATED = 0.25
"""Share of pixels of the highest level above which a frame is said to be saturated."""
JPEG_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""How a JPEG is decoded: it has 8 bits and no transparency, and becomes RGB without a second copy."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, turned as the file's orientation tag says; of a Bayer mosaic, superpixels of half
            the size.
        stretch: how `pixels` were made of more than 8 bits, see `development`; None where the file has 8.
        header: keywords of a FITS file.
        time: start of the exposure, UTC, where a FITS file gives it.
        raw: (H, W) or (H, W, 3) uint16 or float32, where the file has more than 8 bits or is a mosaic.
        cfa: Bayer pattern of `raw`; None where it is not a mosaic.
        binning: pixels of the file along a side of one pixel of `pixels`: 2 for superpixels, else 1.
        planes: one or three linear channels (h, w) that `pixels` was developed from, where there is `raw`.
        remarks: what a person should know of how the file was read, e.g. why a keyword was ignored.
    """

    pixels: np.ndarray
    stretch: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    time: datetime.datetime | None = None
    raw: np.ndarray | None = None
    cfa: str | None = None
    binning: int = 1
    planes: tuple[np.ndarray, ...] | None = None
    remarks: tuple[str, ...] = ()


def decode_image(content: bytes, name: str, development: Development | None = None) -> DecodedImage:
    """Decode the bytes of an image file.

    Grey, RGBA and palette images become RGB (transparency over black); more than 8 bits and Bayer mosaics are
    developed; the orientation tag of JPEG, PNG and TIFF is applied.

    Args:
        content: the whole file.
        name: for messages, and for the suffix that marks FITS.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.

    Raises:
        CalibrationFrameError: a FITS keyword says that it is a dark, a bias or a flat.
        ImageError: empty, truncated, not an image, smaller than 16 or larger than 32,000 pixels a side.
        UsageError: FITS without astropy.
    """
    if not content:
        raise ImageError(name, "the file is empty")
    try:
        if content.startswith(b"SIMPLE  =") or name.lower().endswith(FITS_SUFFIXES):
            return _decode_fits(content, name, development)
        return _decode(content, name, development)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged bytes; it concerns this image only
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ImageError(name, f"it is truncated or damaged ({reason})") from None


def _decode(content: bytes, name: str, development: Development | None) -> DecodedImage:
    size, jpeg = read_image_size(content, name), content.startswith(b"\xff\xd8")
    if size is not None:
        validate_image_size(*size, name)
    orientation = read_orientation(content)
    if orientation != 1 and content[:2] in (b"II", b"MM"):
        content = reset_tiff_orientation(content)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), JPEG_FLAGS if jpeg else cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(name, "it cannot be decoded; it may be damaged")
    validate_image_size(image.shape[1], image.shape[0], name)
    image = apply_orientation(image, orientation)
    if jpeg:
        return DecodedImage(image)
    if image.ndim == 3:
        channels = image.shape[2]
        if channels == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        else:
            image = _flatten(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)) if channels == 4 else image[..., 0]
    return _developed(image, development, {}, None)


def _decode_fits(content: bytes, name: str, development: Development | None) -> DecodedImage:
    data, header, time = read_fits(content, name)
    check_is_light(header, name)
    return _developed(data, development, header, time)


def _developed(
    image: np.ndarray, development: Development | None, header: dict[str, Any], time: datetime.datetime | None
) -> DecodedImage:
    """Develop what has more than 8 bits or is a mosaic; leave processed images of 8 bits as they are."""
    if image.dtype == np.uint8 and not header:
        return DecodedImage(to_rgb8(image)[0])
    cfa, remarks = bayer_pattern(image, header)
    if image.dtype == np.uint8 and cfa is None:
        return DecodedImage(to_rgb8(image)[0], None, header, time, remarks=remarks)
    found = develop_image(image, cfa, development)
    remarks += _level_remarks(found.raw)
    return DecodedImage(found.pixels, found.stretch, header, time, found.raw, cfa, found.binning, found.planes, remarks)


def _level_remarks(raw: np.ndarray) -> tuple[str, ...]:
    """Return a remark where a frame shows nothing: all pixels have one level, or most are saturated."""
    sample = raw[:: max(1, raw.shape[0] // 256), :: max(1, raw.shape[1] // 256)]
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if not sample.size:
        return ("hardly any pixel holds a finite number",)
    high = sample.max()
    if sample.min() == high and raw.min() == raw.max():
        return (f"every pixel has the same level, {float(high):g}: a closed cover, or saturation",)
    share = float(np.count_nonzero(sample == high) / sample.size)
    if share > MAX_SATURATED and float(high) > 0:
        return (f"about {share:.0%} of the pixels have the highest level, {float(high):g}: they are saturated",)
    return ()


def _flatten(rgba: np.ndarray) -> np.ndarray:
    """Compose an RGBA image over black, as the sky is; the depth stays."""
    full = np.iinfo(rgba.dtype).max if rgba.dtype.kind == "u" else 1.0
    return np.round(rgba[..., :3] * (rgba[..., 3:].astype(np.float64) / full)).astype(rgba.dtype)
