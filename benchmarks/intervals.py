"""Confidence intervals of counts: shares and rates."""

from __future__ import annotations

import math

Z95 = 1.959964
"""Standard deviations of the normal distribution that hold 95 % of it."""
LOW_LIMITS = {0: 0.0, 1: 0.0253178, 2: 0.2422093}
"""Exact lower limits of small counts."""


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209); 0 to 1 for a total of 0."""
    if total == 0:
        return 0.0, 1.0
    share, square = successes / total, Z95 * Z95 / total
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def poisson_interval(count: int, exposure: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate, from a count over an exposure, e.g. false detections a frame.

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
