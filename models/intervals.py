"""95 % intervals of shares, rates and other figures.

Shares and rates have theirs by counts, other figures by drawing objects with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Z95 = 1.959964
"""Standard deviations of the normal distribution that hold 95 % of it."""
LOW_LIMITS = {0: 0.0, 1: 0.0253178, 2: 0.2422093}
"""Exact lower limits of small counts."""

DRAWS = 300
"""Number of times that objects are drawn."""


def wilson_interval(successes: float, total: float) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    It is 0 to 1 for a total of 0.
    """
    if total == 0:
        return 0.0, 1.0
    share, square = successes / total, Z95 * Z95 / total
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def poisson_interval(count: int, exposure: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate, from a count over an exposure.

    An example is the rate of false detections per frame.

    Garwood's limits (1936, Biometrika 28, 437), for counts over 2 by the approximation of Wilson and Hilferty, within
    3 % of them.

    Raises:
        ValueError: the exposure is not positive.
    """
    if exposure <= 0:
        raise ValueError("an exposure is positive")
    low = LOW_LIMITS.get(count)
    if low is None:
        low = count * (1 - 1 / (9 * count) - Z95 / (3 * math.sqrt(count))) ** 3
    more = count + 1
    return low / exposure, more * (1 - 1 / (9 * more) + Z95 / (3 * math.sqrt(more))) ** 3 / exposure


def bootstrap_interval(
    measure: Callable[[np.ndarray], np.ndarray], count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals of K values by drawing N objects with replacement.

    Source: Efron 1979, Ann. Stat. 7, 1.

    Args:
        measure: takes how often each of the objects was drawn, (N,) int, and returns the values (K,); NaN where one is
            undefined, which is left out.
        count: N.
        seed: of the draws.

    Returns:
        the lower and the upper limits (K,).
    """
    rng = np.random.default_rng(seed)
    values = np.stack([measure(rng.multinomial(count, np.full(count, 1 / count))) for _ in range(DRAWS)])
    low, high = np.nanquantile(values, (0.025, 0.975), axis=0)
    return low, high


def interval_text(interval: Sequence[float] | None, digits: int = 3) -> str:
    """Format an interval for a table: `` [0.812, 0.903]``.

    The text is empty where there is none.
    """
    return "" if interval is None else f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
