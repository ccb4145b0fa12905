"""Whether a variant's loss on the evaluation images is more than chance.

Both networks see the same images, so only those that one of them gets right and the other wrong carry information.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

CHANCE = 0.2
"""A loss is within chance if a network that lost nothing shows as much with at least this probability. It is high on
purpose: refusing a good variant costs another calibration, accepting a bad one goes unnoticed on the devices. Three
images lost and none gained fail."""


class PairedCounts(NamedTuple):
    """Images that a variant classifies otherwise than float32, by true class.

    Attributes:
        lost: right in float32 and wrong in the variant.
        gained: wrong in float32 and right in the variant.
    """

    lost: tuple[int, ...]
    gained: tuple[int, ...]


def paired_counts(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> PairedCounts:
    """Count what a variant lost and gained.

    Args:
        before, after: probabilities (N, C) of the same images by float32 and by the variant.
        labels: true classes (N,), 0..C-1.
    """
    right, still = before.argmax(axis=1) == labels, after.argmax(axis=1) == labels
    lost, gained = (
        np.bincount(labels[chosen], minlength=before.shape[1]) for chosen in (right & ~still, ~right & still)
    )
    return PairedCounts(tuple(map(int, lost)), tuple(map(int, gained)))


def sign_test(lost: int, gained: int) -> float:
    """Return the probability of losing at least this many by chance.

    Either change is equally likely then.

    One-sided and exact (McNemar 1947, Psychometrika 12, 153).
    """
    total = lost + gained
    return sum(math.comb(total, count) for count in range(lost, total + 1)) / (1 << total)


def share_test(count: int, total: int, share: float) -> float:
    """Return the probability of at least `count` of `total`.

    Each has the probability `share` (0..1, exclusive).

    One-sided and exact (binomial).
    """

    def probability(number: int) -> float:
        ways = math.lgamma(total + 1) - math.lgamma(number + 1) - math.lgamma(total - number + 1)
        return math.exp(ways + number * math.log(share) + (total - number) * math.log1p(-share))

    return 1.0 if count <= 0 else min(1.0, sum(map(probability, range(count, total + 1))))
