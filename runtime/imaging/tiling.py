"""Big frames: overlapping tiles beside the whole frame, and one list of detections in the end.

A network's input is small: a galaxy of 30 pixels in a frame of 3840 would be two of its pixels. Tiles show it at the
size it has in the frame; which tiles hold extended light is seen on a small look at the frame, so that an empty sky
costs one view.
"""

from __future__ import annotations

import re

import cv2
import numpy as np

from ...errors import UsageError
from .statistics import mad_std

CELL = 4
"""Side in frame pixels of the cells in which light is looked for: a star is one or two, a galaxy several."""
SKY_CELLS = 16
MIN_SIGMAS = 6.0
"""Standard deviations of the noise that are light: of half a million cells, none by chance."""
MIN_NOISE = 0.1
MIN_EXTENDED_SHARE = 0.15
"""What an opening must leave of a peak: 0.02 of a star of 4 pixels' full width, 0.06 of 6, 0.3 of a galaxy of 10."""
_BLOCK = np.ones((3, 3), np.uint8)
TILE_MARGIN = 2.5
"""Sides of a tile in sizes of the light it is to show."""
MAX_TILES = 24


def parse_grid(text: str) -> tuple[int, int] | None:
    """Read columns and rows of ``3x2``; None of ``off`` and ``auto``.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    if text not in ("off", "auto") and not found:
        raise UsageError(f"tiles are auto, off or columns x rows up to 99x99, e.g. 3x2, not '{text}'")
    return (int(found[1]), int(found[2])) if found else None


class TileSelector:
    """Which parts of a frame the network looks at.

    Args:
        text: ``off``, ``auto`` or columns x rows, e.g. ``3x2``.
        side: side of the network's input in pixels.

    Raises:
        UsageError: it is none of these.
    """

    def __init__(self, text: str, side: int) -> None:
        self._grid = parse_grid(text)
        self._auto = text == "auto"
        self._side = side

    def select(self, pixels: np.ndarray) -> np.ndarray:
        """Choose the parts of a frame (H, W, 3) uint8 RGB: the whole, then tiles.

        Returns:
            (N, 4) int x0, y0, x1, y1 in frame pixels.
        """
        height, width = pixels.shape[:2]
        whole = np.array([[0, 0, width, height]])
        if self._grid:
            return np.concatenate([whole, _grid(width, height, *self._grid)])
        if self._auto and max(width, height) >= 1.5 * self._side:
            return np.concatenate([whole, self._lit(pixels)])
        return whole

    def _lit(self, pixels: np.ndarray) -> np.ndarray:
        """Choose, for each patch of extended light, the tile of a fitting size that has it nearest its middle."""
        height, width = pixels.shape[:2]
        chosen = dict.fromkeys(
            _tile_around(width, height, x, y, self._fitting(size))
            for x, y, size in find_extended_light(pixels)
            if self._fitting(size) < max(width, height)
        )
        return np.array(list(chosen)[:MAX_TILES], int).reshape(-1, 4)

    def _fitting(self, size: float) -> int:
        """The side of tiles for light of `size`: the network's input, or that doubled as often as it takes."""
        side = self._side
        while side < TILE_MARGIN * size:
            side *= 2
        return side


def find_extended_light(pixels: np.ndarray) -> list[tuple[float, float, float]]:
    """Find extended light, largest first: x, y of its middle and its longer side, in frame pixels.

    The frame is averaged to cells of `CELL` pixels. A morphological opening by 3x3 cells leaves of a star next to
    nothing of its peak, and of a galaxy a good part; the sky is the median of large cells. What is left is compared
    with its own noise, in cells of three sizes, so that what is large may be faint.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    size = max(1, pixels.shape[1] // CELL), max(1, pixels.shape[0] // CELL)
    halves = cv2.resize(pixels, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_AREA)
    # In parts of a level: faint light is less than one.
    cells = cv2.resize(cv2.cvtColor(halves, cv2.COLOR_RGB2GRAY).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    light, peaks = cv2.morphologyEx(cells, cv2.MORPH_OPEN, _BLOCK), cv2.dilate(cells, _BLOCK)
    coarse = max(1, size[0] // SKY_CELLS), max(1, size[1] // SKY_CELLS)
    sky = cv2.medianBlur(cv2.resize(light, coarse, interpolation=cv2.INTER_AREA), 5)
    sky = cv2.resize(sky, size, interpolation=cv2.INTER_LINEAR)
    light = light - sky
    extended = np.where(
        light < MIN_EXTENDED_SHARE * (peaks - sky - MIN_SIGMAS * mad_std((cells - sky)[::2, ::2])), 0.0, light
    )
    lit: np.ndarray = np.zeros(light.shape, np.uint8)
    for fold in (1, 2, 4):
        folded = max(1, size[0] // fold), max(1, size[1] // fold)
        noise = max(MIN_NOISE, mad_std(cv2.resize(light, folded, interpolation=cv2.INTER_AREA)[::2, ::2]))
        found = (cv2.resize(extended, folded, interpolation=cv2.INTER_AREA) > MIN_SIGMAS * noise).astype(np.uint8)
        lit = np.maximum(lit, cv2.resize(found, size, interpolation=cv2.INTER_NEAREST))
    count, _, boxes, middles = cv2.connectedComponentsWithStats(lit, connectivity=8)
    scale = np.array(pixels.shape[1::-1]) / size
    order = 1 + np.argsort(-boxes[1:count, cv2.CC_STAT_AREA], kind="stable")
    sides = np.maximum(boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]) * scale[0]
    return [(*((middles[n] + 0.5) * scale), sides[n]) for n in order]


def _grid(width: int, height: int, columns: int, rows: int) -> np.ndarray:
    """Lay out columns x rows equal tiles; neighbours share a quarter of a tile."""
    spans = []
    for length, count in ((width, columns), (height, rows)):
        side = min(length, int(np.ceil(length / (count - 0.25 * (count - 1)))))
        starts = np.round(np.linspace(0, length - side, count)).astype(int)
        spans.append([(start, start + side) for start in starts])
    return np.array([(x0, y0, x1, y1) for y0, y1 in spans[1] for x0, x1 in spans[0]])


def _tile_around(width: int, height: int, x: float, y: float, side: int) -> tuple[int, int, int, int]:
    """Return the tile with its middle nearest to x, y; tiles of a size lie half their side apart."""
    corner = []
    for length, place in ((width, x), (height, y)):
        start = round((place - side / 2) / (side / 2)) * (side // 2)
        corner.append(min(max(0, start), max(0, length - side)))
    return corner[0], corner[1], min(width, corner[0] + side), min(height, corner[1] + side)
