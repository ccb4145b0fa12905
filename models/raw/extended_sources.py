"""Find extended light in a developed frame, without a network.

It selects the tiles of a large frame.

The levels are converted back to standard deviations of the noise. A morphological opening removes stars, which are
narrow; the remaining light is compared with its own noise after Gaussian filters of growing width (matched filters for
round objects: Irwin 1985, MNRAS 214, 575). As an opening leaves much of blurred stars, a source must also be wider
than the frame's own stars. numpy and OpenCV only; a frame of 540 x 960 costs about 2 ms on a desktop core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .stretch import Stretch

WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the filters, in cells of 2 x 2 pixels; integers."""
SIGNIFICANT = 6.5
"""Minimum significance of light, in standard deviations of the filtered noise."""
LARGEST = 40.0
"""A pixel's light is clipped at this number of sigma, so that one bright star does not dominate."""
STAR_BOX = 32
"""Minimum side in pixels of a box to check for a star: an opening removes smaller galaxies too."""
STAR_PEAK, STAR_SHARE, STAR_VEIL = 100.0, 0.07, 25.0
"""A box contains a star if its peak exceeds the first value in sigma, and the light after an opening is less than the
second value as a share of the peak and less than the third value in sigma."""
SATURATED, SATURATED_SHARE = 0.98, 0.15
"""A peak above the first value, as a share of the stretch's white, is clipped, so an opening leaves more of it:
then only the second value is the limit. A limit in sigma does not apply, as a nebula has more sigma in a deep stack."""
EXTENDED = 0.2
"""Minimum share of the light that remains after the opening: 0.1 for stars of a pixel or two, over 0.3 for galaxies."""
FEWEST_STARS = 12
"""Minimum number of bright peaks to measure the frame's own stars; of fewer, most may be galaxies."""
STAR_LIGHT = 6.0
"""Minimum light of such a peak, in sigma after the narrowest filter."""
WIDER = 1.5
"""Minimum ratio of the light that a filter keeps of a source and of a star."""
SMALL = 16.0
"""Maximum size in pixels of sources that are enlarged, as they differ from stars in a few pixels only."""
MOST = 12
_CELL = 2
_SKY_CELLS = 24
_SAMPLE = 3
_OPENING = np.ones((3, 3), np.uint8)
_FEW = 64
_KERNEL = cv2.getGaussianKernel(5, 1.0, cv2.CV_32F)


@dataclass(frozen=True)
class ExtendedSource:
    """An extended source of light.

    Attributes:
        x, y: its middle in pixels of the image; size: about its width in pixels.
        significance: its peak after the filter that shows it best, in standard deviations of that filter's noise.
    """

    x: float
    y: float
    size: float
    significance: float


def extended_sources(
    pixels: np.ndarray, stretch: Stretch | None = None, significant: float = SIGNIFICANT, most: int = MOST
) -> list[ExtendedSource]:
    """Find extended light, the most significant first.

    Args:
        pixels: (H, W, 3) uint8 RGB, developed by `front_end.develop` with `stretch`.
        significant: minimum significance; most: maximum number of sources.
    """
    height, width = pixels.shape[0] // _CELL, pixels.shape[1] // _CELL
    if min(height, width) < 2 * _CELL:
        return []
    cells, unclipped = _cells(pixels, stretch or Stretch(), height, width)
    opened = cv2.morphologyEx(cells, cv2.MORPH_OPEN, _OPENING)
    sky = _sky(opened)
    light, unopened = opened - sky, cells - sky
    stars = _Stars(unclipped - sky)
    found: list[ExtendedSource] = []
    for size in WIDTHS:
        if 6 * size > min(height, width):
            break
        found.extend(_peaks(light, unopened, size, significant, stars))
    found.sort(key=lambda source: -source.significance)
    kept: list[ExtendedSource] = []
    for source in found:
        if all(np.hypot(source.x - other.x, source.y - other.y) > 0.6 * max(source.size, other.size) for other in kept):
            kept.append(source)
            if len(kept) == most:
                break
    return kept


def _cells(pixels: np.ndarray, stretch: Stretch, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the light of cells of 2 x 2 pixels in sigma of a pixel.

    It is returned clipped and unclipped, (height, width) float32.
    """
    table = _linear(stretch)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[: height * _CELL, : width * _CELL]
    # Levels are averaged: the noise dithers faint light, so rounding loses nothing on average.
    levels = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.LUT(levels, np.minimum(table, LARGEST)), cv2.LUT(levels, table)


class _Stars:
    """The light that each filter keeps of a frame's point sources.

    Most peaks of a frame are stars.

    Args:
        light: (H, W) float32, of cells above the sky, in sigma, not clipped.
    """

    def __init__(self, light: np.ndarray) -> None:
        self._light = light
        self._narrow = cv2.sepFilter2D(light, -1, _KERNEL, _KERNEL)
        peaks = (self._narrow >= cv2.dilate(self._narrow, _OPENING)) & (self._narrow > STAR_LIGHT)
        y, x = np.divmod(np.flatnonzero(peaks), light.shape[1])
        # The brighter half, in whose light noise and neighbours are a smaller part.
        bright = np.argsort(-self._narrow[y, x])[: max(FEWEST_STARS, len(y) // 2)]
        self._y, self._x = y[bright], x[bright]

    def wider(self, rows: np.ndarray, columns: np.ndarray, fold: int) -> np.ndarray:
        """Return which sources are wider than stars.

        They are at rows and columns (N,) of the light reduced `fold` times.
        """
        if len(self._y) < FEWEST_STARS or not len(rows):
            return np.ones(len(rows), bool)
        smooth = _filtered(self._light, fold)[0]
        height, width = smooth.shape
        around = cv2.dilate(smooth, _OPENING)
        y, x = np.minimum(self._y // fold, height - 1), np.minimum(self._x // fold, width - 1)
        typical = np.median(around[y, x] / self._narrow[self._y, self._x])
        reach = np.ones((2 * fold + 1, 2 * fold + 1), np.uint8)
        narrow = cv2.dilate(self._narrow, reach)[rows * fold + fold // 2, columns * fold + fold // 2]
        result: np.ndarray = smooth[rows, columns] > WIDER * typical * narrow
        return result


def star_dominated(pixels: np.ndarray, boxes: np.ndarray, stretch: Stretch | None = None) -> np.ndarray:
    """Return which boxes (N, 4) contain a bright star in faint light, (N,) bool.

    A reflection nebula is an example.

    The brightest pixel in the middle half of such a box belongs to a star: an opening by 5 x 5 pixels removes almost
    all of it, but only part of a galaxy's nucleus.

    Args:
        pixels: (H, W, 3) uint8 RGB, developed by `front_end.develop` with `stretch`.
    """
    stretch = stretch or Stretch()
    table, result = _linear(stretch), np.zeros(len(boxes), bool)
    for number, (x0, y0, x1, y1) in enumerate(np.asarray(boxes, np.float64)):
        left, top = max(0, int(x0)), max(0, int(y0))
        part = pixels[top : int(np.ceil(y1)), left : int(np.ceil(x1))]
        if min(part.shape[:2]) < STAR_BOX:
            continue
        light = cv2.LUT(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), table)
        opened = cv2.morphologyEx(light, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        high, wide = light.shape[0] // 4, light.shape[1] // 4
        peak = float(light[high:-high, wide:-wide].max())
        left_over = float(opened[high:-high, wide:-wide].max())
        saturated = peak >= SATURATED * stretch.white
        limit = SATURATED_SHARE * peak if saturated else min(STAR_SHARE * peak, STAR_VEIL)
        result[number] = peak > STAR_PEAK and left_over < limit
    return result


def _linear(stretch: Stretch) -> np.ndarray:
    """Return the light of each level in sigma: (256,) float32."""
    levels = np.arange(256) / 255 * np.arcsinh((stretch.white + stretch.black) / stretch.softening)
    light: np.ndarray = (np.sinh(levels) * stretch.softening - stretch.black).astype(np.float32)
    return light


def _sky(light: np.ndarray) -> np.ndarray:
    """Return the sky level at each cell from medians of a coarse mesh.

    Objects up to half of a frame are not part of it.
    """
    height, width = light.shape
    side = max(4, max(height, width) // _SKY_CELLS)
    coarse = max(1, width // side), max(1, height // side)
    mesh = cv2.resize(light, coarse, interpolation=cv2.INTER_AREA)
    if min(coarse) < 5:
        return np.full(light.shape, np.median(mesh), np.float32)
    level = float(np.median(mesh))
    smooth = cv2.medianBlur(mesh, 5)
    smooth = cv2.GaussianBlur(cv2.medianBlur(smooth, 5), (0, 0), 2.0)
    # Only gradients are subtracted: a galaxy's light in the mesh is limited to the frame's level.
    spread = 1.4826 * float(np.median(np.abs(mesh - level)))
    return cv2.resize(np.minimum(smooth, level + 2 * spread), (width, height), interpolation=cv2.INTER_LINEAR)


def _peaks(
    light: np.ndarray, light_unopened: np.ndarray, size: float, significant: float, stars: _Stars
) -> Iterator[ExtendedSource]:
    """Yield the filtered peaks of opened light, without stars.

    They are about as high in the unopened light.
    """
    fold = int(size)
    smooth, opened = _filtered(light, fold)
    level = opened[opened.size // 2]
    below = level - opened[: opened.size // 2]
    noise = 1.4826 * float(np.partition(below, below.size // 2)[below.size // 2]) if below.size else 0.0
    if noise <= 0:
        return
    unopened, base = _filtered(light_unopened, fold)
    peaks = smooth >= cv2.dilate(smooth, _OPENING)
    peaks &= smooth > level + significant * noise
    peaks &= smooth - level > EXTENDED * (unopened - base[base.size // 2])
    y, x = np.divmod(np.flatnonzero(peaks), smooth.shape[1])
    extended = stars.wider(y, x, fold)
    y, x = y[extended], x[extended]
    scale = fold * _CELL
    for row, column in zip(y.tolist(), x.tolist(), strict=True):
        value = float(smooth[row, column] - level) / noise
        yield ExtendedSource((column + 0.5) * scale, (row + 0.5) * scale, 4.0 * size * _CELL, value)


def _filtered(light: np.ndarray, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduce light `fold` times and filter it.

    Return it, and a sample of its values partitioned at their median.
    """
    height, width = light.shape[0] // fold, light.shape[1] // fold
    cropped = light[: height * fold, : width * fold]  # a multiple of `fold` takes a third of the time
    folded = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA) if fold > 1 else light
    smooth = cv2.sepFilter2D(folded, -1, _KERNEL, _KERNEL)
    sampled = smooth[::_SAMPLE, ::_SAMPLE].ravel()
    if sampled.size < _FEW:
        sampled = smooth.ravel()
    return smooth, np.partition(sampled, sampled.size // 2)


def windows_around(sources: list[ExtendedSource], width: int, height: int, side: int, most: int = 8) -> np.ndarray:
    """Place square windows on an image so that every source lies well inside one.

    Args:
        sources: the most significant first; width, height: of the image in pixels.
        side: of the network's input in pixels; small sources get windows of half the size, which are enlarged, and
            larger ones windows of twice and four times the size.
        most: maximum number of windows.

    Returns:
        (N, 4) int x0, y0, x1, y1, inside the image.
    """
    windows: list[tuple[int, int, int, int, int]] = []
    for source in sources:
        span = side // 2 if source.size <= SMALL else side
        while span < 2.2 * source.size:
            span *= 2
        if span >= 1.5 * max(width, height):
            continue  # the whole frame shows it
        margin = min(0.3 * span, 0.75 * source.size + 8)
        if any(_well_inside(source, window, margin, width, height) for window in windows if window[4] == span):
            continue
        corner = [
            int(min(max(0, at - span / 2), max(0, length - span)))
            for at, length in ((source.x, width), (source.y, height))
        ]
        windows.append((corner[0], corner[1], min(width, corner[0] + span), min(height, corner[1] + span), span))
        if len(windows) == most:
            break
    return np.array([window[:4] for window in windows], int).reshape(-1, 4)


def _well_inside(source: ExtendedSource, window: tuple[int, ...], margin: float, width: int, height: int) -> bool:
    x0, y0, x1, y1 = window[:4]
    left = x0 == 0 or source.x - x0 > margin
    right = x1 == width or x1 - source.x > margin
    top = y0 == 0 or source.y - y0 > margin
    return (
        x0 <= source.x < x1
        and y0 <= source.y < y1
        and left
        and right
        and top
        and (y1 == height or y1 - source.y > margin)
    )
