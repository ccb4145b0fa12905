"""Robust level and noise of images that are mostly empty sky."""

from __future__ import annotations

import numpy as np


def median(values: np.ndarray) -> float:
    """Return the median of at least one value, in an array of any shape.

    For an even number, the upper middle value.

    `np.median` averages the two middle values, takes twice the time, and loads masked arrays when it is first called.
    """
    flat = values.reshape(-1)
    middle = flat.size // 2
    return float(np.partition(flat, middle)[middle])


def mad_std(values: np.ndarray, level: float | None = None) -> float:
    """Return the standard deviation by the median distance to the median.

    Args:
        level: the median, if it is known.
    """
    return 1.4826 * median(np.abs(values - (median(values) if level is None else level)))
