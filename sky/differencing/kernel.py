"""The kernel that gives a reference's stars their shape in another image.

After Alard & Lupton (1998, ApJ 503, 325): a sum of Gaussians times polynomials, fitted to the pixels of stars. It is
the same in the whole field.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_WIDTHS = ((0.7, 2), (1.1, 2), (2.0, 1))
"""Widths of the Gaussians in units of the smoothing, and degrees of their polynomials."""
_CLIPS = 3
_SYSTEMATIC = 0.03
"""Share of a star's light by which it may differ, in addition to the noise."""
MIN_PIXELS = 150
"""Minimum number of pixels for a fit."""


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Return a round Gaussian (n, n) float32 whose sum is 1."""
    radius = max(2, math.ceil(4 * sigma))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(line, line)
    return np.asarray(kernel / kernel.sum(), np.float32)


def fit_kernel(
    reference: np.ndarray, target: np.ndarray, pixels: np.ndarray, sigma: float, noise: float
) -> tuple[np.ndarray, float] | None:
    """Fit the kernel that turns a reference into a target, up to a constant.

    Args:
        reference: (h, w) float32 without its background.
        target: (h, w) float32 without its background.
        pixels: (h, w) bool, those of stars.
        sigma: width of the smoothing of the target, in pixels.
        noise: standard deviation of a pixel of the target.

    Returns:
        The kernel (n, n) float32 and the constant; None if there are too few pixels.
    """
    chosen = np.flatnonzero(pixels.reshape(-1))
    if len(chosen) < MIN_PIXELS:
        return None
    bases = _bases(sigma)
    columns = [cv2.filter2D(reference, -1, base).reshape(-1)[chosen] for base in bases]
    matrix = np.stack([*columns, np.ones(len(chosen))], axis=1).astype(float)
    values = target.reshape(-1)[chosen].astype(float)
    weight = 1 / np.hypot(noise, _SYSTEMATIC * values)
    kept = np.ones(len(chosen), bool)
    for _ in range(_CLIPS):
        weighted = weight[kept, None]
        solution, *_ = np.linalg.lstsq(matrix[kept] * weighted, values[kept] * weight[kept], rcond=1e-8)
        residual = np.abs(values - matrix @ solution) * weight
        kept = residual < max(4.0, 4 * 1.4826 * float(np.median(residual)))
        if int(kept.sum()) < MIN_PIXELS:
            return None
    kernel = np.tensordot(solution[:-1], np.stack(bases), axes=1)
    return np.asarray(kernel, np.float32), float(solution[-1])


def _bases(sigma: float) -> list[np.ndarray]:
    radius = max(3, math.ceil(3.5 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / sigma
    bases = []
    for width, degree in _WIDTHS:
        round_one = np.exp(-0.5 * (x**2 + y**2) / width**2)
        round_one /= round_one.sum()
        bases += [round_one * x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    return [np.asarray(base, np.float32) for base in bases]
