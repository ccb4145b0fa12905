"""The difference of two networks on the same images, with its interval."""

from __future__ import annotations

import numpy as np

from ...models.intervals import bootstrap_interval
from .significance import class_rates


def macro_f1_difference(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[float, float, float]:
    """Return how much higher the macro F1 of one network is than that of another.

    Both are measured on the same images, which are drawn with replacement for both alike (a paired bootstrap).

    Args:
        before, after, labels: (N,) classes predicted by each, and true classes, 0..classes-1.

    Returns:
        The difference, and the limits of its 95 % interval.
    """

    def difference(times: np.ndarray) -> np.ndarray:
        drawn = np.repeat(np.arange(len(labels)), times)
        f1 = [class_rates(found[drawn], labels[drawn], classes)[2].mean() for found in (after, before)]
        return np.array([f1[0] - f1[1]])

    low, high = bootstrap_interval(difference, len(labels))
    return float(difference(np.ones(len(labels), int))[0]), float(low[0]), float(high[0])
