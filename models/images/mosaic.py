"""Determine whether an image is a Bayer mosaic, and its pattern.

FITS keywords and the image's levels decide.

Capture programs write BAYERPAT (NINA, SharpCap, ZWO, Ekos), COLORTYP (SBIG, MaxIm) or a CFA keyword, with the offset of
the first pixel in XBAYROFF and YBAYROFF and the order of rows in ROWORDER. If the keywords contradict the image or are
missing, the levels of the four pixels of a cell decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..raw.bayer import parse_pattern

PATTERN_KEYS = ("BAYERPAT", "COLORTYP", "CFA_PAT", "CFAPAT", "CFATYPE", "CFA", "BAYER")
NO_MOSAIC = ("", "NONE", "NO", "N/A", "FALSE", "F", "MONO", "GREY", "GRAY", "RGB", "COLOR", "COLOUR", "UNKNOWN")
"""Values of these keywords that name no pattern: the levels of the image decide."""
MIN_SIDE = 64
"""Minimum side in pixels of an image in whose levels a pattern can be found."""
MIN_CONTRAST = 0.5
"""Minimum difference of red or blue from green in standard deviations of a pixel's noise."""
MAX_GREEN_CONTRAST = 0.15
"""Maximum difference of the two greens of a cell, as a share of that difference; alternating rows and columns of a
sensor's readout differ on both diagonals."""
MAX_SMOOTHNESS = 0.85
"""Minimum median difference of neighbours relative to pixels two apart; an interpolated image is below it."""
_SAMPLES = 8_000


def bayer_pattern(image: np.ndarray, header: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return the Bayer pattern of an image, and remarks if it is uncertain.

    The pattern is None if the image is not a mosaic.

    Args:
        image: (H, W) or (H, W, 3), rows as they are stored.
        header: keywords of a FITS file, in capitals; may be empty.
    """
    pattern, remarks = _pattern(image, header)
    return pattern, (*remarks, *(_position_remarks(header) if pattern else ()))


def _position_remarks(header: Mapping[str, Any]) -> list[str]:
    """Return a remark on each keyword about the first pixel that cannot be read."""
    remarks = [
        f"{key} = {str(header[key])[:40]!r} is not a number and counts as 0; red and blue may be swapped"
        for key in ("XBAYROFF", "YBAYROFF")
        if key in header and not _is_number(header[key])
    ]
    order = str(header.get("ROWORDER", "")).strip()
    if order and not any(word in order.upper() for word in ("TOP", "BOTTOM")):
        remarks.append(f"ROWORDER = {order[:40]!r} is neither TOP-DOWN nor BOTTOM-UP; rows are read from the top down")
    return remarks


def _pattern(image: np.ndarray, header: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    key = next((key for key in PATTERN_KEYS if _named(header, key)), None)
    text = _named(header, key) if key else ""
    if image.ndim != 2:
        remark = f"{key} = '{text}' is ignored: the image has three colours already"
        return None, ((remark,) if _is_pattern(text) else ())
    bottom_up = "BOTTOM" in str(header.get("ROWORDER", "")).upper()
    x_offset, y_offset = _whole(header.get("XBAYROFF")), _whole(header.get("YBAYROFF"))
    try:
        pattern = parse_pattern(text, x_offset, y_offset, bottom_up, image.shape[0]) if key else None
    except ValueError:
        pattern = None
    possible = patterns_from_levels(image)
    if pattern:
        binning = max(_whole(header.get("XBINNING")), _whole(header.get("YBINNING")))
        if possible and not _share_greens(pattern, possible):
            turned = pattern[2:] + pattern[:2]
            remark = f"{key} = '{text}' contradicts the levels: green is on the other diagonal"
            return turned, (f"{remark}; it is read as {turned}, in which red and blue may be swapped",)
        if possible or not (binning > 1 or is_interpolated(image)):
            return pattern, ()
        if binning > 1:
            reason = f"binning {binning} has mixed the colours"
        else:
            reason = "neighbouring pixels are mixed, as in an image that was debayered"
        return None, (f"{key} = '{text}' is ignored: {reason}; it is read as mono",)
    guess = possible[0] if possible else None
    if key:
        reading = f"as a mosaic {guess}, by its levels; red and blue may be swapped" if guess else "as mono"
        return guess, (f"{key} = '{text[:40]}' is not a Bayer pattern; the image is read {reading}",)
    if guess:
        return guess, (
            f"the header names no Bayer pattern, but the levels are those of a mosaic; it is read as {guess}, in which "
            "red and blue may be swapped",
        )
    return None, ()


def _share_greens(pattern: str, others: Sequence[str]) -> bool:
    """Return whether a pattern and one of the others share the diagonal of greens."""
    return any((pattern[0] == "G") == (other[0] == "G") for other in others)


def pattern_from_levels(image: np.ndarray) -> str | None:
    """Guess the pattern of a mosaic from its levels.

    The result is None if it has none; see `patterns_from_levels`.
    """
    return next(iter(patterns_from_levels(image)), None)


def patterns_from_levels(image: np.ndarray) -> list[str]:
    """Return the patterns that agree with the levels of a mosaic, the likelier first.

    The list is empty if it is not a mosaic.

    The two pixels on one diagonal of a cell, the greens, have the same level; those on the other do not. Which of
    these is red cannot be determined: the patterns returned have red first. Two are possible if red is as bright as
    blue.
    """
    if min(image.shape) < MIN_SIDE:
        return []
    step = 2 * max(1, int((image.size / 4 / _SAMPLES) ** 0.5))
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    cells = [
        _numeric(image[y:height:step, x:width:step]).astype(np.float64) for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    medians = [float(np.median(cell)) for cell in cells]
    noise = max(1.4826 * float(np.median(np.abs(cell - median))) for cell, median in zip(cells, medians, strict=True))
    noise = noise or max(float(cell.std()) for cell in cells)
    # Means without stars: medians of integers are too coarse if the noise is about 1.
    levels = np.array(
        [
            np.clip(cell, median - 3 * noise, median + 3 * noise).mean()
            for cell, median in zip(cells, medians, strict=True)
        ]
    )
    found: list[tuple[float, str]] = []
    for greens, others, pattern in (((1, 2), (0, 3), "RGGB"), ((0, 3), (1, 2), "GRBG")):
        green = float(levels[list(greens)].mean())
        contrast = float(np.abs(levels[list(others)] - green).max())
        green_contrast = abs(float(levels[greens[0]] - levels[greens[1]]))
        if contrast > MIN_CONTRAST * noise and green_contrast <= MAX_GREEN_CONTRAST * contrast:
            found.append((green_contrast, pattern))
    return [pattern for _, pattern in sorted(found)]


def is_interpolated(image: np.ndarray) -> bool:
    """Return whether neighbours in a row differ less than pixels two apart.

    Mosaics do not show this.
    """
    rows = _numeric(image[:: max(1, image.shape[0] // 64)]).astype(np.float64)
    next_one, next_but_one = (float(np.median(np.abs(rows[:, lag:] - rows[:, :-lag]))) for lag in (1, 2))
    return next_one < MAX_SMOOTHNESS * next_but_one


def _numeric(image: np.ndarray) -> np.ndarray:
    """Return values that OpenCV can split: 16-bit integers, or finite float32."""
    if image.dtype in (np.uint8, np.uint16):
        return image
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)


def _named(header: Mapping[str, Any], key: str) -> str:
    """Return the text of a keyword that names a pattern.

    The text is empty if it is missing or names none.
    """
    value = header.get(key)
    text = str(value).strip(" '\"") if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return "" if text.upper() in NO_MOSAIC else text


def _is_pattern(text: str) -> bool:
    try:
        return bool(parse_pattern(text))
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _whole(value: Any) -> int:
    """Return a keyword's value as an integer; 0 if it is missing or not a number."""
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0
