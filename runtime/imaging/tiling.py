"""Select tiles of large frames to process in addition to the whole frame.

A network's input is small: a galaxy of 30 pixels in a frame of 3840 would cover two of its pixels. Tiles show it at
its size in the frame. They are placed around extended light, so that an empty sky needs no tile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...errors import UsageError
from .statistics import mad_std

if TYPE_CHECKING:
    from ...models.raw.stretch import Stretch

MIN_INPUTS = 3.0
"""Minimum longer side of a frame, in sides of the network's input, for which ``auto`` selects tiles."""
MIN_INPUTS_RAW = 1.0
"""The same for developed raw frames, in which tiles are placed around extended light only."""
CELL = 4
"""Side in frame pixels of the cells in which light is searched for: a star covers one or two, a galaxy several."""
SKY_CELLS = 16
MIN_SIGMAS = 6.0
"""Minimum light of a cell in standard deviations of its noise; of half a million cells, none exceeds it by chance."""
MIN_NOISE = 0.1
MIN_EXTENDED_SHARE = 0.15
"""Minimum share of a peak that remains after an opening: 0.02 for a star 4 pixels wide, 0.3 for a galaxy of 10."""
_BLOCK = np.ones((3, 3), np.uint8)
TILE_MARGIN = 2.5
"""Minimum side of a tile relative to the size of the light that it shows."""
MAX_TILES = 24


def parse_grid(text: str) -> tuple[int, int] | None:
    """Parse columns and rows, e.g. ``3x2``; return None for ``off`` and ``auto``.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    if text not in ("off", "auto") and not found:
        raise UsageError(f"tiles are auto, off or columns x rows up to 99x99, e.g. 3x2, not '{text}'")
    return (int(found[1]), int(found[2])) if found else None


class TileSelector:
    """Selects the parts of a frame that the detector processes.

    Args:
        text: ``off``, ``auto`` or columns x rows, e.g. ``3x2``. ``auto`` selects tiles around extended light in frames
            whose longer side exceeds `MIN_INPUTS` sides of the network's input (raw frames: `MIN_INPUTS_RAW`).

    Raises:
        UsageError: `text` is none of these.
    """

    def __init__(self, text: str) -> None:
        self._grid = parse_grid(text)
        self._auto = text == "auto"

    def select(self, pixels: np.ndarray, side: int, stretch: Stretch | None = None) -> np.ndarray:
        """Select the parts of a frame: the whole frame, then tiles.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            side: side in pixels of the input of the network that the parts are for.
            stretch: with which they were developed from linear values; None for processed images. It selects the
                method of finding extended light.

        Returns:
            (N, 4) int x0, y0, x1, y1 in frame pixels.
        """
        height, width = pixels.shape[:2]
        frame_view = np.array([[0, 0, width, height]])
        if self._grid:
            return np.concatenate([frame_view, _grid(width, height, *self._grid)])
        limit = MIN_INPUTS if stretch is None else MIN_INPUTS_RAW
        if not self._auto or max(width, height) <= limit * side:
            return frame_view
        if stretch is not None:
            from ...models.raw.extended_sources import extended_sources, windows_around

            tiles = windows_around(extended_sources(pixels, stretch), width, height, side)
        else:
            tiles = _around_light(pixels, side)
        return np.concatenate([frame_view, tiles])


def _around_light(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the nearest tile of a suitable size for each patch of extended light."""
    height, width = pixels.shape[:2]
    chosen = dict.fromkeys(
        _tile_around(width, height, x, y, _fitting(side, size))
        for x, y, size in find_extended_light(pixels)
        if _fitting(side, size) < max(width, height)
    )
    return np.array(list(chosen)[:MAX_TILES], int).reshape(-1, 4)


def _fitting(side: int, size: float) -> int:
    """Return the side of tiles for light of `size`.

    It is the side of the network's input, doubled until it is large enough.
    """
    while side < TILE_MARGIN * size:
        side *= 2
    return side


def find_extended_light(pixels: np.ndarray) -> list[tuple[float, float, float]]:
    """Find extended light: x, y of its middle and its longer side, largest first.

    The frame is averaged to cells of `CELL` pixels. A morphological opening by 3x3 cells removes almost all of a
    star's peak, but only part of a galaxy's; the sky is the median of large cells. The remaining light is compared
    with its own noise in cells of three sizes, so that large objects may be faint.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    size = max(1, pixels.shape[1] // CELL), max(1, pixels.shape[0] // CELL)
    halves = cv2.resize(pixels, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_AREA)
    # In fractions of a level, since faint light is less than one level.
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
    """Return the tile with its middle nearest to x, y.

    Tiles of one size are half their side apart.
    """
    corner = []
    for length, middle in ((width, x), (height, y)):
        start = round((middle - side / 2) / (side / 2)) * (side // 2)
        corner.append(min(max(0, start), max(0, length - side)))
    return corner[0], corner[1], min(width, corner[0] + side), min(height, corner[1] + side)
