"""Crops, sampling weights and credits of labelled galaxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...models.preprocess import crop, resize

CREDITS = {
    "efigi": "EFIGI: Baillard et al. 2011, A&A 532, A74",
    "gz_frames": "Galaxy Zoo 2: Willett et al. 2013, MNRAS 435, 2835",
}
"""Reference to cite for the images of a catalogue."""
COARSE_WEIGHT = 0.5
"""Weight of an image that has a coarse label only, relative to one with a class, when training images are sampled."""


def network_input(image: np.ndarray, boxes: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Return the crop of an image's first box, or the whole image without boxes.

    The result is (size, size, 3); `margin` is the total share of the box's longer side that is added.
    """
    return crop(image, boxes[0], margin, size) if len(boxes) else resize(image, size, size)


def draw_weights(labels: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return sampling weights (N,), adding up to 1, that favour rare classes.

    The total weight of a class is proportional to the square root of its count; that of a coarse group (images without
    a class) is multiplied by `COARSE_WEIGHT`.

    Args:
        labels: (N,) int, -1 where the class is not known.
        groups: N coarse groups, "" where there is none.
    """
    kinds = [label if label >= 0 else group for label, group in zip(labels.tolist(), groups, strict=True)]
    counts = Counter(kinds)
    weights = np.array([(1.0 if isinstance(kind, int) else COARSE_WEIGHT) / counts[kind] ** 0.5 for kind in kinds])
    normalised: np.ndarray = weights / weights.sum()
    return normalised
