"""The first picture in a FITS file, through astropy, which is shown only as much of the file as is sound.

The headers are walked first: one that says nonsense, as 999,999,999 columns, would keep astropy busy for ever.
"""

from __future__ import annotations

import datetime
import io
import re
import threading
import warnings
from contextlib import ExitStack
from math import prod
from typing import Any

import numpy as np

from ...errors import ImageError, UsageError
from .headers import validate_image_size

BLOCK, CARD = 2880, 80
MAX_BLOCKS = 1000
"""Of one header: 36,000 cards."""
MAX_UNITS = 1000
MAX_COUNT = 999
"""Axes or columns (FITS standard 4.0, 4.4.1 and 7.2.1)."""
_WARNINGS_LOCK = threading.Lock()
"""What warnings are shown is settled for all threads together, so that one at a time may settle it."""
_COUNTS = re.compile(rb"(BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT|TFIELDS) *= *(.*)", re.DOTALL)


def read_fits(content: bytes, name: str) -> tuple[np.ndarray, dict[str, Any], datetime.datetime | None]:
    """Read the first image of 2 axes, or of 3 colours.

    Returns:
        (H, W) or (H, W, 3) of the file's own depth, the keywords, and DATE-OBS where it can be read.

    Raises:
        BadPicture: there is none, or its size is absurd. What astropy raises of damaged data goes through.
        UsageError: astropy is missing.
    """
    try:
        from astropy.io import fits
    except ImportError:
        raise UsageError(f"{name} is FITS, which needs astropy: pip install 'galaxy-edge[fits]'") from None
    end, problem = _sound(content)
    if end == 0:
        raise ImageError(name, f"the FITS file is truncated or damaged ({problem})")
    with ExitStack() as stack:
        stack.enter_context(_WARNINGS_LOCK)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # what astropy only warns of either does no harm or fails below
        for unit in stack.enter_context(fits.open(io.BytesIO(content[:end]), memmap=False)):
            axes: tuple[int, ...] = unit.shape if unit.is_image else ()
            if len(axes) == 2 or (len(axes) == 3 and (3 in (axes[0], axes[2]) or axes[0] == 1)):
                break
        else:
            if problem:
                raise ImageError(name, f"the FITS file is truncated or damaged ({problem})")
            raise ImageError(name, "the FITS file holds no picture (no image of 2 axes, or of 3 colours)")
        colours_last = len(axes) == 3 and axes[2] == 3
        validate_image_size(*((axes[1], axes[0]) if colours_last else (axes[-1], axes[-2])), name)
        data = np.asarray(unit.data)
        header = {key: value for key, value in unit.header.items() if key not in ("", "COMMENT", "HISTORY")}
        time = _time(header.get("DATE-OBS"))
    if data.ndim == 3:
        data = data[0] if data.shape[0] == 1 else np.moveaxis(data, 0, 2) if data.shape[0] == 3 else data
    return np.ascontiguousarray(data), header, time


def _time(date: Any) -> datetime.datetime | None:
    """Read a date; one that cannot be read is the same as none."""
    from astropy.time import Time

    try:
        return Time(date, scale="utc").to_datetime(timezone=datetime.UTC) if isinstance(date, str) else None
    except ValueError:
        return None


def _sound(content: bytes) -> tuple[int, str]:
    """Walk over the units of a file; tell where the last sound one ends, and what is wrong with the next, if one is."""
    end = 0
    for _ in range(MAX_UNITS):
        if end and not content.startswith(b"XTENSION", end):
            break  # whatever follows the last unit is not ours
        try:
            end = _unit_end(content, end)
        except ValueError as problem:
            return end, str(problem)
    return end, ""


def _unit_end(content: bytes, start: int) -> int:
    """Tell where the unit ends that starts at `start`.

    Raises:
        ValueError: its header says nonsense, or the file ends before.
    """
    counts: dict[str, int] = {}
    for place in range(start, min(len(content), start + MAX_BLOCKS * BLOCK), CARD):
        card = content[place : place + CARD]
        if card.rstrip() == b"END":
            break
        if found := _COUNTS.match(card):
            value = found[2].split(b"/")[0].strip()
            try:
                counts.setdefault(found[1].decode(), int(value))
            except ValueError:
                told = value.decode("ascii", "replace")[:20]
                raise ValueError(f"its header says {found[1].decode()} = {told!r}") from None
    else:
        raise ValueError("a header breaks off")
    for key, most in (("NAXIS", MAX_COUNT), ("TFIELDS", MAX_COUNT)):
        if counts.get(key, 0) > most:
            raise ValueError(f"its header says {key} = {counts[key]}")
    try:
        sides = [counts[f"NAXIS{axis + 1}"] for axis in range(counts["NAXIS"])]
        bits = abs(counts["BITPIX"])
    except KeyError as missing:
        raise ValueError(f"a header lacks {missing.args[0]}") from None
    for key, value in counts.items():
        if value < 0 and key != "BITPIX":
            raise ValueError(f"its header says {key} = {value}")
    values = prod(sides) if sides else 0
    data = -(-(place + CARD - start) // BLOCK) * BLOCK + start
    stop = data + bits // 8 * counts.get("GCOUNT", 1) * (counts.get("PCOUNT", 0) + values)
    if stop > len(content):
        raise ValueError(f"{stop - len(content)} bytes are missing")
    return data - (data - stop) // BLOCK * BLOCK
