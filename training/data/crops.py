"""How a labelled galaxy becomes a network's input, whom to credit for it, and how often it is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...models.preprocess import crop, resize

CREDITS = {
    "efigi": "EFIGI: Baillard et al. 2011, A&A 532, A74",
    "gz_frames": "Galaxy Zoo 2: Willett et al. 2013, MNRAS 435, 2835",
}
COARSE_WEIGHT = 0.5
"""Weight of pictures with a coarse label at most, in drawing what to train on."""


def network_input(image: np.ndarray, boxes: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Cut what the network sees of a labelled picture: the crop of its box, or all of it when it has none."""
    return crop(image, boxes[0], margin, size) if len(boxes) else resize(image, size, size)


def draw_weights(labels: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Weigh pictures for drawing: (N,) adding up to 1, each class as the square root of its count.

    Args:
        labels: (N,) int, -1 where no class is known; groups: N coarse groups, "" where none is.
    """
    kinds = [label if label >= 0 else group for label, group in zip(labels.tolist(), groups, strict=True)]
    counts = Counter(kinds)
    weights = np.array([(1.0 if isinstance(kind, int) else COARSE_WEIGHT) / counts[kind] ** 0.5 for kind in kinds])
    return weights / weights.sum()
