"""Sky level and noise of a linear frame.

A smooth surface is fitted to a coarse mesh of robust medians.

Gradients of light pollution, moonlight and twilight, and vignetting, are smooth over the whole frame, so a quadratic
surface models them. It cannot model a galaxy, and it is fitted to the darker cells, so that an object over a third of
the frame is preserved. numpy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

CELLS = 12
"""Cells of the mesh along a frame's longer side."""
SAMPLES = 16_384
"""Approximate number of pixels that are sampled."""
QUANTILE = 0.2
"""Share of the cells under the first surface."""
_ROUNDS, _SETTLED = 12, 0.05
_LEAST_IN_CELL = 8
_FEWEST_CELLS = 12
_STEEP = 0.2
_DIAGONAL = np.arange(6)
_BELOW = 0.1587
"""Share of a normal distribution that lies more than a standard deviation below its mean."""
_MOST_SHARED = 64
"""Maximum number of rows that share their levels, see `Background.surface`."""


@dataclass(frozen=True)
class Background:
    """The sky of one channel.

    Attributes:
        coefficients: (6,) float64 of 1, x, y, x^2, xy, y^2, with x and y from -1 to 1 over the frame.
        noise: standard deviation of a pixel's noise, > 0; 0 where the frame is one level.
    """

    coefficients: np.ndarray
    noise: float

    @property
    def level(self) -> float:
        """The sky in the frame's middle."""
        return float(self.coefficients[0])

    def surface(
        self, height: int, width: int, tolerance: float = 0.0, dtype: type[np.generic] = np.float32
    ) -> np.ndarray:
        """Return the sky level of every pixel: (height, width).

        Args:
            dtype: of the result; integers are truncated.
            tolerance: maximum error of a level. Neighbouring rows that differ by less share their levels.
        """
        a, bx, by, cxx, cxy, cyy = (np.float32(value) for value in self.coefficients)
        steepest = 2 / height * (abs(by) + abs(cxy) + 2 * abs(cyy))
        shared = 1
        while shared < _MOST_SHARED and shared * steepest <= tolerance:  # half of 2 * shared rows to each side
            shared *= 2
        x, y = _axis(width), _axis(height)
        if shared > 1:  # each row of a block has the level of the block's middle
            numbers = np.arange(-(-height // shared), dtype=np.float32)
            y = np.float32(2 / height) * (numbers * shared + np.float32(shared / 2)) - np.float32(1)
        # No matrix product: numpy computes it in threads, which wait for each other if all cores are busy.
        surface = np.multiply.outer(cxy * y, x)
        surface += bx * x + cxx * (x * x)
        surface += (a + y * (by + cyy * y))[:, None]
        surface = surface.astype(dtype, copy=False)
        return surface if shared == 1 else np.repeat(surface, shared, axis=0)[:height]

    def of_rows(self, rows: slice, height: int) -> Background:
        """Return the sky of a range of rows, as if it were a separate frame.

        The whole frame has `height` rows.
        """
        a, bx, by, cxx, cxy, cyy = self.coefficients
        middle, scale = (rows.start + rows.stop) / height - 1, (rows.stop - rows.start) / height
        coefficients = (
            a + middle * (by + cyy * middle), bx + cxy * middle, scale * (by + 2 * cyy * middle),
            cxx, scale * cxy, scale * scale * cyy,
        )  # fmt: skip
        return Background(np.array(coefficients), self.noise)

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the sky level at coordinates from -1 to 1 over the frame.

        They may have any shapes that broadcast. The result is float64.
        """
        a, bx, by, cxx, cxy, cyy = self.coefficients
        return np.asarray(a + bx * x + by * y + cxx * x * x + cxy * x * y + cyy * y * y)


def measure_background(channel: np.ndarray, valid: np.ndarray | None = None) -> Background:
    """Measure the sky of a channel.

    Args:
        channel: (H, W) of any real type, linear.
        valid: (H, W) bool, pixels to use; by default, all that are finite, except areas of exact zeros, which are the
            borders of aligned frames.
    """
    step = max(1, int((channel.size / SAMPLES) ** 0.5))
    exact = np.float32 if channel.dtype in (np.uint8, np.uint16, np.float32) else np.float64
    sampled = channel[::step, ::step].astype(exact)
    usable = np.isfinite(sampled)
    usable &= valid[::step, ::step] if valid is not None else ~zero_areas(sampled)
    if not usable.any():
        return Background(np.zeros(6), 0.0)
    side = max(1, -(-max(sampled.shape) // CELLS))
    rows, columns = max(1, sampled.shape[0] // side), max(1, sampled.shape[1] // side)
    cells, known = _cells(sampled, rows, columns), _cells(usable, rows, columns)
    levels, noises, counts = _cell_levels(cells, known)
    enough = counts >= max(_LEAST_IN_CELL, cells.shape[1] // 2)
    if not enough.any():
        rows = columns = 1
        cells, known = sampled.reshape(1, -1), usable.reshape(1, -1)
        levels, noises, counts = _cell_levels(cells, known)
        enough = np.ones(1, bool)
    terms = _terms(*sampled.shape, rows, columns, step, *channel.shape)
    coefficients, sky = _fit(terms[enough], levels[enough], noises[enough], counts[enough])
    slope = 2 / CELLS * float(np.abs(coefficients[1:]).sum())
    if slope > _STEEP * _middle(noises[enough]):  # the slope inside a cell is not noise
        x = _places(np.arange(sampled.shape[1]), step, channel.shape[1])
        y = _places(np.arange(sampled.shape[0]), step, channel.shape[0])
        flat = sampled - Background(coefficients, 1.0).at(x[None, :], y[:, None])
        noises = _cell_levels(_cells(flat, rows, columns), known)[1]
    noises = noises[enough]
    noise = _middle(noises[sky]) or float(noises.mean())
    return Background(coefficients, noise)


@lru_cache(maxsize=8)
def _terms(high: int, wide: int, rows: int, columns: int, step: int, height: int, width: int) -> np.ndarray:
    """Return the terms of the surface in the middle of each cell.

    There are rows x columns cells, and the result is (rows * columns, 6).

    Args:
        high, wide: samples of the frame, taken every `step` pixels; height, width: its pixels.
    """
    if rows * columns == 1:
        across, down = np.array([0.5]), np.array([0.5])
    else:
        across, down = (np.arange(columns) + 0.5) * (wide // columns), (np.arange(rows) + 0.5) * (high // rows)
    x = np.tile(_places(across - 0.5, step, width), rows)
    y = np.repeat(_places(down - 0.5, step, height), columns)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _places(samples: np.ndarray, step: int, length: int) -> np.ndarray:
    """Return the coordinates of samples every `step` pixels from the first.

    They go from -1 to 1 over `length` pixels.
    """
    return np.asarray((2 * step * samples + 1) / length - 1)


def zero_areas(values: np.ndarray) -> np.ndarray:
    """Return which of (H, W) values lie in squares of exact zeros, (H, W) bool.

    The squares are 3 x 3 and cut off at the edges.
    """
    zero: np.ndarray = values == 0
    if not zero.any():
        return zero
    core = np.logical_and.reduce(_shifted(zero, True))
    areas: np.ndarray = zero & np.logical_or.reduce(_shifted(core, False))
    return areas


def _shifted(mask: np.ndarray, outside: bool) -> list[np.ndarray]:
    framed = np.pad(mask, 1, constant_values=outside)
    height, width = mask.shape
    return [framed[y : y + height, x : x + width] for y in range(3) for x in range(3)]


@lru_cache(maxsize=8)
def _axis(length: int) -> np.ndarray:
    return ((np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / length) - 1).astype(np.float32)


def _cells(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Divide (H, W) into equal cells, (rows * columns, pixels of a cell).

    A remainder at the end is ignored.
    """
    high, wide = values.shape[0] // rows, values.shape[1] // columns
    parts = values[: high * rows, : wide * columns].reshape(rows, high, columns, wide)
    return parts.swapaxes(1, 2).reshape(rows * columns, high * wide)


def _medians(cells: np.ndarray, known: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper median of each cell's known values, and its spread.

    The spread is the distance to the quantile `_BELOW`. Both are (N,).
    """
    ordered = np.sort(np.where(known, cells, np.inf), axis=1)
    numbers, last = np.arange(len(cells)), np.maximum(counts - 1, 0)
    found = np.where(counts > 0, ordered[numbers, np.minimum(counts // 2, last)], 0.0)
    dark = np.where(counts > 0, ordered[numbers, np.minimum((_BELOW * counts).astype(int), last)], 0.0)
    return found, found - dark


def _cell_levels(cells: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return median, noise and number of known pixels of each cell, (N,) each.

    The noise is measured below the median, where there are no stars. Unlike the median distance, the mean square is
    also correct for levels as coarse as the noise.
    """
    number, size = cells.shape
    if known.all():  # nearly always: a third of the work
        middle, low = size // 2, int(_BELOW * size)
        ordered = np.partition(cells, (low, middle), axis=1)
        levels, counts = ordered[:, middle], np.full(number, size)
        spreads = levels - ordered[:, low]
        if spreads.min() > 0:
            shares = ordered[:, :middle] - levels[:, None]
            shares /= spreads[:, None]
            np.maximum(shares, -4, out=shares)
            squares = np.sqrt(2 / size * np.einsum("ij,ij->i", shares, shares))
            return levels, spreads * squares, counts
    counts = known.sum(axis=1)
    at_least_one = np.maximum(counts, 1)
    levels, spreads = _medians(cells, known, counts)
    away = np.where(known, cells - levels[:, None], 0.0)
    coarse = spreads <= 0  # most pixels have the same level
    spreads = np.where(coarse, 1.2533 * np.abs(away).sum(axis=1) / at_least_one, spreads)
    units = np.where(spreads > 0, spreads, 1.0)
    shares = np.clip(away / units[:, None], -4.0, 4.0)
    means = np.where(coarse, shares.sum(axis=1) / at_least_one, 0.0)
    centred = np.where(known, shares - means[:, None], 0.0)
    shares = np.where(coarse[:, None], centred, np.minimum(shares, 0.0))
    squares = np.sqrt(np.where(coarse, 1, 2) * np.einsum("ij,ij->i", shares, shares) / at_least_one)
    return levels + means * units * coarse, spreads * np.where(squares > 0, squares, 1.0), counts


def _middle(values: np.ndarray) -> float:
    """Return the upper median of (N,) values.

    This is ten times faster than numpy for short arrays.
    """
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def _fit(
    terms: np.ndarray, levels: np.ndarray, noises: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the surface with terms (N, 6) to the mesh.

    Return its coefficients (6,), and which cells are sky, (N,) bool.

    The first surface has a fifth of the cells below it (quantile regression: Koenker and Bassett 1978, Econometrica
    46, 33), and is not biased by objects that cover less than half of the frame; the second is the mean of the cells
    near the first.
    """
    base = _middle(levels)
    scale = _middle(noises) or float(np.abs(levels - base).max())
    if scale <= 0 or len(levels) < _FEWEST_CELLS:  # a single level, or too few cells for a gradient
        level = float(np.sort(levels)[len(levels) // 3 if len(levels) > 3 else len(levels) // 2])
        return np.array([level, 0.0, 0, 0, 0, 0]), np.ones(len(levels), bool)
    values = (levels - base) / scale
    certain = 1.2533 / _middle(counts) ** 0.5  # of a cell's median, in standard deviations
    fitted = _solve(terms, values, np.ones(len(values)))
    for _ in range(_ROUNDS):
        rest = values - terms @ fitted
        weights = np.where(rest > 0, QUANTILE, 1 - QUANTILE) / np.maximum(np.abs(rest), certain)
        before, fitted = fitted, _solve(terms, values, weights)
        if np.abs(fitted - before).max() < _SETTLED:
            break
    sky = np.zeros(len(values), bool)
    for _ in range(3):
        rest, before = values - terms @ fitted, sky
        below = rest[rest < 0]
        spread = max(certain, -1.4826 * _middle(below) if len(below) else 0.0)
        sky = (rest < 3 * spread) & (rest > -8 * spread)
        if np.array_equal(sky, before):
            break
        fitted = _solve(terms, values, np.where(sky, 1.0, 1e-3))
    coefficients = fitted * scale
    coefficients[0] += base
    return coefficients, sky if sky.any() else np.ones(len(levels), bool)


def _solve(terms: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Solve weighted least squares: terms (N, 6), values and weights (N,)."""
    weighted = terms * weights[:, None]
    matrix = weighted.T @ terms
    matrix[_DIAGONAL, _DIAGONAL] += 1e-9 * weights.sum()
    found, solution = cv2.solve(matrix, (weighted.T @ values)[:, None], flags=cv2.DECOMP_CHOLESKY)
    return np.asarray(solution[:, 0] if found else np.linalg.solve(matrix, weighted.T @ values))
