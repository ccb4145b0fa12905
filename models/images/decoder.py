"""Read an image into 8-bit RGB.

PNG, JPEG, TIFF and BMP are read through OpenCV, FITS through astropy, DNG through rawpy.

Size, depth and completeness are read from the file's header before anything is decoded, so that a damaged or absurd
file takes no memory and gives no wrong result: a decoder would fill the missing part of a truncated JPEG with grey.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from ...errors import ImageError, UserError
from .development import Development, develop_image
from .exif import apply_orientation, read_orientation
from .headers import COMPRESSED_MAGIC, DNG_SUFFIX, FITS_SUFFIXES, TIFF_MAGIC, ImageHeader, read_header
from .memory import Reservation
from .stretch import to_rgb8

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", *FITS_SUFFIXES, DNG_SUFFIX)
"""Suffixes of the files that are read, in lower case; some have two dots."""
MAGIC = (b"\x89PNG", b"\xff\xd8", b"BM", *TIFF_MAGIC)
MAX_SATURATED = 0.25
"""Minimum share of pixels at the highest level for the remark that a frame is saturated."""
MAX_MISSING = 0.05
"""Minimum share of pixels that are not finite for a remark on it."""
JPEG_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""OpenCV's flags for a JPEG, which has 8 bits and no transparency: it is decoded to RGB without a second copy."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, with the file's orientation tag applied; for a Bayer mosaic, superpixels of half
            the size.
        stretch: how more than 8 bits were reduced to `pixels`, see `development`; None if the file has 8.
        header: keywords of a FITS file.
        time: start of the exposure, UTC, where a FITS file gives it.
        raw: (H, W) or (H, W, 3) uint16 or float32, where the file has more than 8 bits or is a mosaic.
        cfa: Bayer pattern of `raw`; None where it is not a mosaic.
        binning: pixels of the file along a side of one pixel of `pixels`: 2 for superpixels, else 1.
        planes: one or three linear channels (h, w) that `pixels` was developed from, where there is `raw`.
        remarks: what the user should know about how the file was read, e.g. why a keyword was ignored.
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


def decode_image(
    content: bytes, name: str, development: Development | None = None, reservation: Reservation | None = None
) -> DecodedImage:
    """Decode the bytes of an image file.

    Grey, RGBA and palette images become RGB (transparency over black); more than 8 bits and Bayer mosaics are
    developed; the orientation tag of JPEG, PNG and TIFF is applied.

    Args:
        content: the whole file.
        name: for messages, and for the suffix that marks FITS and DNG.
        development: how more than 8 bits are reduced to 8; by default, the standard stretch by noise.
        reservation: memory is reserved from it before the image is decoded.

    Raises:
        CalibrationFrameError: a FITS keyword says that it is a dark, a bias or a flat.
        ImageError: empty, truncated, not an image, smaller than 16 or larger than 32,000 pixels a side, or larger than
            the memory allows.
        UsageError: FITS without astropy, DNG without rawpy.
    """
    if not content:
        raise ImageError(name, "the file is empty")
    reserved = _Reserved(name, reservation)
    try:
        stored = _stored(content, name, reserved)
        del content  # a large file's, before its pixels are copied
        if stored.pixels.ndim == 3 and stored.pixels.dtype != np.uint8:
            stored = replace(stored, pixels=_by_channel(stored.pixels))
        image = _developed(stored, development)
    except UserError:
        raise
    except MemoryError:
        raise ImageError(name, "there is not enough memory for it") from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged bytes; it concerns this image only
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ImageError(name, f"it is truncated or damaged ({reason})") from None
    if reservation:
        reservation.keep(image.pixels, reserved.resident)
    return image


class _Reserved:
    """Check of an image's memory against the budget.

    It records how much of the memory stays in use.
    """

    def __init__(self, name: str, reservation: Reservation | None) -> None:
        self.name, self.resident, self._reservation = name, 0, reservation

    def check(self, header: ImageHeader, held: int) -> None:
        needed, self.resident = header.check(held, self.name)
        if self._reservation:
            self._reservation.grow(needed)


@dataclass(frozen=True, eq=False)
class _Stored:
    """The pixels of a file, (H, W) or (H, W, 3) RGB of any depth, and its metadata."""

    pixels: np.ndarray
    header: dict[str, Any] = field(default_factory=dict)
    time: datetime.datetime | None = None
    cfa: str | None = None
    remarks: tuple[str, ...] = ()


def _stored(content: bytes, name: str, reserved: _Reserved) -> _Stored:
    """Decode a file by the format of its content.

    Its first bytes select the format, or its name if they do not identify one.

    The reader of a format is imported when a file has that format: most runs need one, and so start faster.
    """
    lower = name.lower()
    if lower.endswith(DNG_SUFFIX) and content.startswith(TIFF_MAGIC):
        from .dng import read_dng

        return _Stored(*read_dng(content, name, reserved.check))
    if content.startswith(COMPRESSED_MAGIC):
        from .unpack import unpack

        content = unpack(content, name)
    if content.startswith(b"SIMPLE  =") or (lower.endswith(FITS_SUFFIXES) and not content.startswith(MAGIC)):
        from .fits_reader import read_fits
        from .frame_type import check_is_light

        data, keywords, time = read_fits(content, name, reserved.check)
        return _Stored(data, keywords, time, remarks=check_is_light(keywords, name))
    if content.startswith(TIFF_MAGIC):
        from .tiff import ORIENTATION, decode_tiff, parse_tiff

        tiff = parse_tiff(content, name)
        reserved.check(tiff.header(), 2 * len(content))
        return _Stored(apply_orientation(decode_tiff(content, tiff, name), tiff.get(ORIENTATION)))
    header = read_header(content, name)
    reserved.check(header, len(content))
    jpeg = content.startswith(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), JPEG_FLAGS if jpeg else cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(name, "it cannot be decoded; it may be damaged")
    if (image.shape[1], image.shape[0]) != (header.width, header.height):
        raise ImageError(name, "it is damaged: its header gives another size than its pixels have")
    if image.ndim == 3 and not jpeg:
        image = _rgb(image)
    return _Stored(apply_orientation(image, read_orientation(content)))


def _rgb(image: np.ndarray) -> np.ndarray:
    """Convert (H, W, C) as decoded by OpenCV to RGB, with transparency over black.

    (H, W) stays as it is.
    """
    channels = image.shape[2]
    if channels == 1:
        return image[..., 0]
    if channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    from .tiff import multiply_alpha

    return multiply_alpha(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), image[..., 3])


def _by_channel(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) stored channel by channel.

    Its linear channels then need no additional memory.
    """
    if image[..., 0].flags.c_contiguous:
        return image
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    for channel, plane in enumerate(planes):
        plane[:] = image[..., channel]
    return np.moveaxis(planes, 0, 2)


def _developed(stored: _Stored, development: Development | None) -> DecodedImage:
    """Develop images of more than 8 bits and mosaics.

    Leave processed images of 8 bits unchanged.
    """
    image, header, time = stored.pixels, stored.header, stored.time
    if image.dtype == np.uint8 and not header and not stored.cfa:
        return DecodedImage(to_rgb8(image)[0])
    from .mosaic import bayer_pattern

    cfa, remarks = (stored.cfa, ()) if stored.cfa else bayer_pattern(image, header)
    remarks += stored.remarks
    if image.dtype == np.uint8 and cfa is None:
        return DecodedImage(to_rgb8(image)[0], None, header, time, remarks=remarks)
    found = develop_image(image, cfa, development)
    remarks += _level_remarks(found.raw)
    return DecodedImage(found.pixels, found.stretch, header, time, found.raw, cfa, found.binning, found.planes, remarks)


def _level_remarks(raw: np.ndarray) -> tuple[str, ...]:
    """Return a remark if a frame shows nothing; else an empty tuple.

    It shows nothing if almost no pixel is finite, all pixels have one level, or most are saturated.
    """
    sample = raw[:: max(1, raw.shape[0] // 256), :: max(1, raw.shape[1] // 256)]
    pixels = sample.size
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if not sample.size:
        return ("almost no pixel is a finite number",)
    if (missing := 1 - sample.size / pixels) > MAX_MISSING:
        return (f"about {missing:.0%} of the pixels are not finite numbers and count as black",)
    high = sample.max()
    if sample.min() == high and raw.min() == raw.max():
        return (f"every pixel has the same level, {float(high):g}: a closed cover, or saturation",)
    share = float(np.count_nonzero(sample == high) / sample.size)
    if share > MAX_SATURATED and float(high) > 0:
        return (f"about {share:.0%} of the pixels have the highest level, {float(high):g}: they are saturated",)
    return ()
