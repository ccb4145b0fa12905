"""Read the first image of a FITS file with astropy.

Only the part of the file that is intact is read.

The headers are checked first: an absurd value, such as 999,999,999 columns, would keep astropy busy for hours.
"""

from __future__ import annotations

import datetime
import io
import re
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from math import prod
from typing import Any

import numpy as np

from ...errors import ImageError, UsageError
from ...extras import extra_command
from .fits_cards import repair_cards
from .fits_tiles import check_tiles
from .fits_time import observation_time
from .headers import ImageHeader

BLOCK, CARD = 2880, 80
MAX_BLOCKS = 1000
"""Maximum length of a header: 36,000 cards."""
MAX_UNITS = 1000
MAX_COUNT = 999
"""Maximum number of axes or columns (FITS standard 4.0, 4.4.1 and 7.2.1)."""
_WARNINGS_LOCK = threading.Lock()
"""Warning filters are global to the process, so only one thread at a time may change them."""
_COUNTS = re.compile(rb"(BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT|TFIELDS) *= *(.*)", re.DOTALL)


def read_fits(
    content: bytes, name: str, check: Callable[[ImageHeader, int], None]
) -> tuple[np.ndarray, dict[str, Any], datetime.datetime | None]:
    """Read the first image of 2 axes, or of 3 colours.

    Args:
        content: the file.
        name: for error messages.
        check: called with the image's size and depth, and the bytes in use, before it is decoded.

    Returns:
        (H, W) or (H, W, 3) of the file's own depth, the keywords, and the time of the exposure, see `fits_time`.

    Raises:
        ImageError: the file has no image, or its size is not accepted. Errors of astropy on damaged data pass through.
        UsageError: astropy is missing.
    """
    try:
        from astropy.io import fits
    except ImportError:
        raise UsageError(f"{name} is FITS, which needs astropy: {extra_command('fits')}") from None
    starts, end, fault = _find_intact_units(content)
    if end == 0:
        raise ImageError(name, f"the FITS file is truncated or damaged ({fault})")
    content = repair_cards(content, starts)
    with ExitStack() as stack:
        stack.enter_context(_WARNINGS_LOCK)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # a warning is either harmless or followed by an error below
        for unit in stack.enter_context(fits.open(io.BytesIO(content[:end]), memmap=False)):
            axes: tuple[int, ...] = unit.shape if unit.is_image else ()
            if len(axes) == 2 or (len(axes) == 3 and (3 in (axes[0], axes[2]) or axes[0] == 1)):
                break
        else:
            if fault:
                raise ImageError(name, f"the FITS file is truncated or damaged ({fault})")
            raise ImageError(name, "the FITS file contains no image of 2 axes, or of 3 colours")
        colours_last = len(axes) == 3 and axes[2] == 3
        check(_image_header(unit, *((axes[1], axes[0]) if colours_last else (axes[-1], axes[-2])), name), len(content))
        if isinstance(unit, fits.CompImageHDU):
            check_tiles(content[:end], unit, name)
        data = _plain_values(content, unit)
        if data is None:
            data = np.asarray(unit.data)
        header = _read_header(unit.header)
        time = observation_time(header)
    if data.ndim == 3:
        data = data[0] if data.shape[0] == 1 else np.moveaxis(data, 0, 2) if data.shape[0] == 3 else data
    return _native(data), header, time


def _image_header(unit: Any, width: int, height: int, name: str) -> ImageHeader:
    """Return the size and depth of an image, from which its memory is computed."""
    bits, channels = abs(int(unit.header.get("BITPIX", 8))), prod(unit.shape) // max(1, width * height)
    scaled = unit.header.get("BSCALE", 1) != 1 or unit.header.get("BZERO", 0) not in (0, 2 ** (bits - 1))
    depth = max(bits // 8, 8 if scaled else 1)
    kept = channels * (2 if bits <= 16 and not scaled else 4)
    tile = prod(getattr(unit, "tile_shape", (0,)))
    tiles = -(-tile // max(1, width * height))
    if str(getattr(unit, "compression_type", "")).startswith("HCOMPRESS"):
        tiles *= 3  # it works in integers of 64 bits, and with a copy
    return ImageHeader(width, height, channels * depth, kept, depth * tiles + (channels * depth if scaled else 0))


def _plain_values(content: bytes, unit: Any) -> np.ndarray | None:
    """Return the values of an image without scaling, read without astropy's copy.

    The result is None for other images.
    """
    bits, zero = int(unit.header.get("BITPIX", 0)), unit.header.get("BZERO", 0)
    kind = {8: ">u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}.get(bits)
    is_plain = unit.header.get("BSCALE", 1) == 1 and "BLANK" not in unit.header and "ZIMAGE" not in unit.header
    if type(unit).__name__ == "CompImageHDU" or not (kind and is_plain and (zero == 0 or (bits, zero) == (16, 32768))):
        return None
    values = np.frombuffer(content, kind, prod(unit.shape), unit.fileinfo()["datLoc"]).reshape(unit.shape)
    if zero:
        shifted: np.ndarray = values.view(">u2").astype(np.uint16)
        shifted ^= np.uint16(0x8000)
        return shifted
    return values


def _native(data: np.ndarray) -> np.ndarray:
    """Return values in the machine's byte order."""
    return (
        np.ascontiguousarray(data, data.dtype.newbyteorder("="))
        if data.ndim == 2
        else data.astype(
            data.dtype.newbyteorder("="), order="K", copy=not (data.dtype.isnative and data.flags.writeable)
        )
    )


def _read_header(header: Any) -> dict[str, Any]:
    """Return the keywords of an astropy header, in capitals, without comments.

    Cards that astropy cannot parse are ignored: programs write NaN, decimal commas and unquoted text.
    """
    from astropy.io.fits.verify import VerifyError

    values: dict[str, Any] = {}
    for card in header.cards:
        try:
            if card.keyword not in ("", "COMMENT", "HISTORY"):
                values.setdefault(card.keyword.upper(), card.value)
        except (VerifyError, ValueError):
            continue
    return values


def _find_intact_units(content: bytes) -> tuple[list[int], int, str]:
    """Return where intact units begin, where they end, and the next one's fault.

    The fault is "" if there is none.
    """
    starts: list[int] = []
    end = 0
    for _ in range(MAX_UNITS):
        if end and not content.startswith(b"XTENSION", end):
            break  # the rest of the file is not FITS
        try:
            start, end = end, _unit_end(content, end)
        except ValueError as error:
            return starts, end, str(error)
        starts.append(start)
    return starts, end, ""


def _unit_end(content: bytes, start: int) -> int:
    """Return where the unit that starts at `start` ends.

    Raises:
        ValueError: its header is invalid, or the file ends within the unit.
    """
    counts: dict[str, int] = {}
    for offset in range(start, min(len(content), start + MAX_BLOCKS * BLOCK), CARD):
        card = content[offset : offset + CARD]
        if card.rstrip() == b"END":
            break
        if found := _COUNTS.match(card):
            value = found[2].split(b"/")[0].strip()
            try:
                counts.setdefault(found[1].decode(), int(value))
            except ValueError:
                text = value.decode("ascii", "replace")[:20]
                raise ValueError(f"its header has {found[1].decode()} = {text!r}") from None
    else:
        raise ValueError("a header is truncated")
    for key in ("NAXIS", "TFIELDS"):
        if counts.get(key, 0) > MAX_COUNT:
            raise ValueError(f"its header has {key} = {counts[key]}")
    try:
        sides = [counts[f"NAXIS{axis + 1}"] for axis in range(counts["NAXIS"])]
        bits = abs(counts["BITPIX"])
    except KeyError as missing:
        raise ValueError(f"a header lacks {missing.args[0]}") from None
    for key, value in counts.items():
        if value < 0 and key != "BITPIX":
            raise ValueError(f"its header has {key} = {value}")
    values = prod(sides) if sides else 0
    data = -(-(offset + CARD - start) // BLOCK) * BLOCK + start
    stop = data + bits // 8 * counts.get("GCOUNT", 1) * (counts.get("PCOUNT", 0) + values)
    if stop > len(content):
        raise ValueError(f"{stop - len(content)} bytes are missing")
    return data - (data - stop) // BLOCK * BLOCK
