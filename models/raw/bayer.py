"""Colour filter arrays: patterns, superpixels, debayering, hot pixels.

A raw frame of a colour camera is a mosaic: every pixel has one colour. Superpixels take each 2 x 2 cell as one
pixel (red, mean of both greens, blue): half the size, and nothing is interpolated. numpy and OpenCV only.
"""

from __future__ import annotations

import re

import cv2
import numpy as np

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
_NAME = re.compile(r"(?:S|CFA)?([RGB]{4})(?:\d\d?P?)?|BAYER([RGB]{2}|[RGB]{4})(?:\d\d?P?)?")
_DEBAYER = {
    "RGGB": cv2.COLOR_BayerRGGB2RGB, "GRBG": cv2.COLOR_BayerGRBG2RGB,
    "GBRG": cv2.COLOR_BayerGBRG2RGB, "BGGR": cv2.COLOR_BayerBGGR2RGB,
}  # fmt: skip

HOT_SIGMA = 10.0
"""Standard deviations of the noise by which a hot pixel exceeds every neighbour of its colour."""
HOT_SHARE = 0.12
"""Minimum level of the brightest neighbour as a share of a star's peak; around a hot pixel there is only sky."""
_OFFSETS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
_SAMPLES = 2_000
_COARSE = 16.0
"""Minimum noise in levels for which half a level is negligible, so that the mean of both greens stays an integer."""


def parse_pattern(text: str, x_offset: int = 0, y_offset: int = 0, bottom_up: bool = False, height: int = 0) -> str:
    """Return the pattern of an array's first 2 x 2 pixels, rows as they are stored.

    Args:
        text: the pattern as a header gives it (FITS BAYERPAT, COLORTYP, a CFA name), in any case, e.g. ``grbg``,
            ``GR/BG``, ``SGRBG16`` (V4L2) or ``BAYER_RG8`` (GenICam, which names the first row).
        x_offset, y_offset: FITS XBAYROFF and YBAYROFF: offset of the array in the pattern, in columns and rows.
        bottom_up: FITS ROWORDER is BOTTOM-UP: the pattern is that of the scene's upper left corner, and the array's
            first row is the scene's last.
        height: rows of the array; used if `bottom_up` is set.

    Raises:
        ValueError: the text is not a Bayer pattern.
    """
    found = _NAME.fullmatch(re.sub(r"[\s'\"/_,-]", "", text.upper()))
    letters = (found[1] or found[2]) if found else "?"
    name = next((pattern for pattern in PATTERNS if pattern.startswith(letters)), None)
    if not name:
        raise ValueError(f"'{text.strip()}' is not a Bayer pattern; known: {', '.join(PATTERNS)}")
    rows = [name[:2], name[2:]]
    if int(y_offset) % 2:
        rows.reverse()
    if int(x_offset) % 2:
        rows = [row[::-1] for row in rows]
    if bottom_up and height % 2 == 0:
        rows.reverse()
    return "".join(rows)


def colour_planes(mosaic: np.ndarray) -> list[np.ndarray]:
    """Split a mosaic into its four planes, in the order of the pattern's letters.

    Args:
        mosaic: (H, W) of any type that OpenCV knows; an odd last row or column is dropped.

    Returns:
        four (H // 2, W // 2) arrays of the same type.

    Raises:
        ValueError: it is not an array of 2 axes with at least 2 x 2 pixels.
    """
    if mosaic.ndim != 2 or min(mosaic.shape) < 2:
        raise ValueError(f"a mosaic has 2 axes and at least 2 x 2 pixels, not the shape {mosaic.shape}")
    height, width = mosaic.shape[0] // 2 * 2, mosaic.shape[1] // 2 * 2
    pairs = np.ascontiguousarray(mosaic[:height, :width]).reshape(height, width // 2, 2)
    left, right = cv2.split(pairs)
    return [left[0::2], right[0::2], left[1::2], right[1::2]]


def superpixel_planes(mosaic: np.ndarray, pattern: str, hot_pixels: bool = True) -> tuple[list[np.ndarray], int]:
    """Make the red, green and blue planes of superpixels.

    Args:
        mosaic: (H, W) uint8, uint16 or float32, linear.
        pattern: of its first 2 x 2 pixels, see `parse_pattern`.
        hot_pixels: replace hot pixels first, each by neighbours of its own colour.

    Returns:
        three (H // 2, W // 2) arrays, red and blue of the mosaic's type (for 8 bits: uint16), green the mean of both,
        float32, or uint16 if the noise is many levels; and the number of pixels that were replaced.
    """
    if mosaic.dtype == np.uint8:
        mosaic = mosaic.astype(np.uint16)
    planes = colour_planes(mosaic)
    replaced = 0
    noises = [_level_and_noise(plane) for plane in planes]
    if hot_pixels:
        for plane, (level, noise) in zip(planes, noises, strict=True):
            y, x, values = _hot_pixels(plane, level, noise)
            plane[y, x] = values  # the planes are copies already
            replaced += len(values)
    greens = [number for number, letter in enumerate(pattern) if letter == "G"]
    first, second = (planes[number] for number in greens)
    if first.dtype == np.uint16 and min(noises[number][1] for number in greens) >= _COARSE:
        green: np.ndarray = first >> 1  # halved first, or the sum would overflow; at most a level too low
        green += second >> 1
    else:
        green = first.astype(np.float32)  # so that no half level is lost
        green += second
        green *= np.float32(0.5)
    return [planes[pattern.index("R")], green, planes[pattern.index("B")]], replaced


def superpixels(mosaic: np.ndarray, pattern: str, hot_pixels: bool = True) -> np.ndarray:
    """Make superpixels of a mosaic: red, mean of both greens, blue.

    A mosaic (H, W) gives (H // 2, W // 2, 3) float32.

    For arguments see `superpixel_planes`.
    """
    return cv2.merge([plane.astype(np.float32) for plane in superpixel_planes(mosaic, pattern, hot_pixels)[0]])


def debayer(mosaic: np.ndarray, pattern: str, hot_pixels: bool = True) -> np.ndarray:
    """Interpolate every colour at every pixel (bilinear, OpenCV).

    A mosaic (H, W) gives (H, W, 3) RGB, with sides cut to even lengths.

    Args:
        mosaic: uint8, uint16 or float32, linear; float32 is converted to 16 bits and back.
        pattern: see `parse_pattern`.
        hot_pixels: replace hot pixels first.
    """
    height, width = mosaic.shape[0] // 2 * 2, mosaic.shape[1] // 2 * 2
    mosaic = np.ascontiguousarray(mosaic[:height, :width])
    if hot_pixels:
        mosaic = without_hot_pixels(mosaic)
    if mosaic.dtype in (np.uint8, np.uint16):
        return cv2.cvtColor(mosaic, _DEBAYER[pattern])
    low, high = float(mosaic.min()), float(mosaic.max())
    step = (high - low) / 65535 or 1.0
    steps = np.round((mosaic - np.float32(low)) / np.float32(step)).astype(np.uint16)
    return cv2.cvtColor(steps, _DEBAYER[pattern]).astype(np.float32) * np.float32(step) + np.float32(low)


def without_hot_pixels(mosaic: np.ndarray) -> np.ndarray:
    """Replace a mosaic's hot pixels by neighbours of their own colour.

    The result has the type of the mosaic (H, W), and sides cut to even lengths.
    """
    planes = [replace_hot_pixels(plane)[0] for plane in colour_planes(mosaic)]
    result = np.empty((2 * planes[0].shape[0], 2 * planes[0].shape[1]), mosaic.dtype)
    for plane, (y, x) in zip(planes, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        result[y::2, x::2] = plane
    return result


def replace_hot_pixels(plane: np.ndarray) -> tuple[np.ndarray, int]:
    """Replace hot pixels by the median of their neighbours.

    Hot pixels are single ones that are far brighter than all of their neighbours.

    A star's light reaches the pixels next to its peak; a hot pixel's does not.

    Args:
        plane: (H, W) of one colour, uint8, uint16 or float32, finite.

    Returns:
        the plane, a copy if pixels were replaced, and the number of them.
    """
    y, x, values = _hot_pixels(plane, *_level_and_noise(plane))
    if len(values):
        plane = plane.copy()
        plane[y, x] = values
    return plane, len(values)


def _hot_pixels(plane: np.ndarray, level: float, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and neighbours' medians of hot pixels in the sky.

    Each is (N,).
    """
    none = np.zeros(0, int)
    if min(plane.shape) < 3 or noise <= 0:
        return none, none, plane[none, none]
    y, x = _risen(plane, HOT_SIGMA * noise)
    around = np.sort(_neighbours(plane, y, x), axis=0)
    value, brightest = plane[y, x].astype(np.float64), around[-1]
    hot = value - brightest > HOT_SIGMA * noise
    hot &= brightest - level < np.maximum(HOT_SHARE * (value - level), 4 * noise)
    medians = (around[3, hot] + around[4, hot]) / 2
    return y[hot], x[hot], medians.astype(plane.dtype)


def _risen(plane: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Find pixels brighter than a vertical and a horizontal neighbour.

    They exceed one neighbour above or below and one to the left or right by more than `least`.
    """
    rows, columns = plane.shape
    if plane.dtype != np.float32:
        least = min(np.floor(least), np.iinfo(plane.dtype).max)
    # Each row is compared with one neighbour only, so that half of the pixels need a difference.
    steps = cv2.absdiff(plane[: rows - 1 : 2], plane[1::2])
    pair, x = np.divmod(true_places((steps > plane.dtype.type(least)).reshape(-1)), columns)
    y = 2 * pair + (plane[2 * pair + 1, x] > plane[2 * pair, x])
    if rows % 2:
        last = np.flatnonzero(plane[-1].astype(np.float64) - plane[-2] > least)
        y, x = np.concatenate([y, np.full(len(last), rows - 1)]), np.concatenate([x, last])
    # Most are edges of stars, whose other neighbour is as bright: these need no comparison with all neighbours.
    other = plane[y, np.where(x + 1 < columns, x + 1, x - 1)]
    alone = plane[y, x].astype(np.float64) - other > least
    return y[alone], x[alone]


def true_places(mask: np.ndarray) -> np.ndarray:
    """Return where (N,) bool is true.

    This is faster than `np.flatnonzero` if almost all are false.
    """
    end = len(mask) // 8 * 8
    groups = np.flatnonzero(mask[:end].view(np.uint64) != 0)
    group, offset = np.nonzero(mask[:end].reshape(-1, 8)[groups])
    return np.concatenate([groups[group] * 8 + offset, end + np.flatnonzero(mask[end:])])


def _neighbours(plane: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the eight neighbours of N pixels, mirrored at the edges: (8, N) float64."""
    rows, columns = plane.shape
    down = {-1: np.abs(y - 1), 0: y, 1: rows - 1 - np.abs(rows - 2 - y)}
    right = {-1: np.abs(x - 1), 0: x, 1: columns - 1 - np.abs(columns - 2 - x)}
    return np.stack([plane[down[dy], right[dx]] for dy, dx in _OFFSETS]).astype(np.float64)


def _level_and_noise(plane: np.ndarray) -> tuple[float, float]:
    """Estimate sky level and noise from several thousand pixels.

    They are the median, and the median distance to it.
    """
    step = max(1, int((plane.size / _SAMPLES) ** 0.5))
    sampled = plane[::step, ::step].ravel()
    middle = sampled.size // 2
    level = np.partition(sampled, middle)[middle]
    distance = np.maximum(sampled, level) - np.minimum(sampled, level)
    spread = 1.4826 * float(np.partition(distance, middle)[middle])
    return float(level), spread or 1.2533 * float(distance.mean())
