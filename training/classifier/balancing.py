"""Balance classes of different sizes, by sampling or by weights in the loss.

Three strategies of the university report (section 2.3), the baseline without balancing, and this project's default.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.labels import CLASSES
from ..data.errors import DataError
from ..data.splits import class_label

STRATEGIES = ("none", "full", "weights", "partial", "root")
"""``none``: every image once per epoch.
``full``: every class down- or over-sampled to the mean count.
``weights``: every image once, with the class weight N / (C n_c) in the loss.
``partial``: every class sampled to the geometric mean of its count and the mean count, and class weights against the
remaining imbalance.
``root``: N images, each drawn with a probability proportional to count^-0.5, those with a coarse group only too: by
`crops.draw_weights`, not by `draw`.
"""


def draw(labels: np.ndarray, strategy: str, seed: int, epoch: int) -> np.ndarray:
    """Draw the images of an epoch.

    An under-sampled class shows other images in each epoch; in an over-sampled one the images' counts differ by one at
    most.

    Args:
        labels: (N,) classes, 0 and up.
        strategy: a name in `STRATEGIES`, except ``root``.
        seed, epoch: the same pair gives the same draw.

    Returns:
        (M,) indices of images, shuffled.

    Raises:
        DataError: there are no images, or one has no class.
        ValueError: the strategy does not exist, or is ``root``.
    """
    if strategy == "root":
        raise ValueError("'root' draws by weight, coarse groups too: see crops.draw_weights")
    counts = _counts(labels, strategy)
    rng = np.random.default_rng([seed, epoch])
    drawn = []
    for label, wanted in enumerate(_epoch_counts(counts, strategy).tolist()):
        own = rng.permutation(np.flatnonzero(labels == label))
        drawn.append(np.resize(own, wanted))  # repeats the class as often as needed
    return rng.permutation(np.concatenate(drawn))


def class_weights(labels: np.ndarray, strategy: str, classes: int, names: Sequence[str] = CLASSES) -> np.ndarray:
    """Return class weights for the loss, for a balancing strategy.

    They compensate the imbalance that remains after `draw`.

    Args:
        labels: (N,) classes, 0..classes-1.
        strategy: a name in `STRATEGIES`.
        classes: C, the number of classes; names: of the classes, for messages.

    Returns:
        (C,) float32, all 1 if the strategy has no weights. Their mean over the drawn images is 1, so that the
        learning rate has the same effect under every strategy.

    Raises:
        DataError: a class has no images, or an image has no class.
        ValueError: the strategy does not exist, or a label is out of range.
    """
    counts = _counts(labels, strategy, classes)
    if len(counts) > classes:
        raise ValueError(f"labels run to {len(counts) - 1}, but there are {classes} classes")
    if not counts.all():
        missing = ", ".join(class_label(label, names) for label in np.flatnonzero(counts == 0).tolist())
        raise DataError(f"there is no training image of {missing}: add some, or omit the class")
    if strategy not in ("weights", "partial"):
        return np.ones(classes, np.float32)
    drawn = _epoch_counts(counts, strategy)
    result: np.ndarray = (drawn.sum() / (classes * drawn)).astype(np.float32)
    return result


def _counts(labels: np.ndarray, strategy: str, min_classes: int = 0) -> np.ndarray:
    """Count the images of each class, after checking labels and strategy."""
    if strategy not in STRATEGIES:
        raise ValueError(f"'{strategy}' is not a balancing strategy; known: {', '.join(STRATEGIES)}")
    if not len(labels):
        raise DataError("there is no labelled image to draw from")
    if np.min(labels) < 0:
        raise DataError(f"{np.sum(labels < 0)} images have no class (at most a coarse group): omit them")
    return np.bincount(labels, minlength=min_classes)


def _epoch_counts(counts: np.ndarray, strategy: str) -> np.ndarray:
    """Return the number of images of each class in an epoch.

    It is 0 for a class without images.
    """
    if strategy not in ("full", "partial"):
        return counts
    mean = counts[counts > 0].mean()
    wanted = np.full(len(counts), mean) if strategy == "full" else np.sqrt(counts * mean)
    result: np.ndarray = np.where(counts > 0, np.maximum(1, np.round(wanted)), 0).astype(int)
    return result
