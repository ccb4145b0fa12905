"""What is done about classes of very different sizes: what an epoch draws, and how classes weigh in the loss.

Three strategies of the university report (section 2.3), the baseline without any, and this project's own default.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.labels import CLASSES
from ..data.sample import DataError
from ..data.splits import name_of

STRATEGIES = ("none", "full", "weights", "partial", "root")
"""``none``: every picture once an epoch.
``full``: every class down- or over-sampled to the mean count.
``weights``: every picture once, its class weighing N / (C n_c) in the loss.
``partial``: every class half of the way to the mean count, as ratios go (the geometric mean of both), and weights
against the imbalance that is left.
``root``: as many pictures as there are, drawn with a chance of count^-0.5 each, as `galaxies.draw_weights` does.
"""


def draw(labels: np.ndarray, strategy: str, seed: int, epoch: int) -> np.ndarray:
    """Draw what an epoch trains on.

    A class made smaller shows other pictures in each epoch; in one made larger, each picture comes as often as any
    other, or once more. ``root`` draws each picture independently, as training by steps does.

    Args:
        labels: (N,) classes, 0 and up.
        strategy: a name in `STRATEGIES`.
        seed, epoch: the same two give the same draw.

    Returns:
        (M,) indices of pictures, shuffled.

    Raises:
        DataError: there is no picture, or one has no class.
        ValueError: there is no such strategy.
    """
    counts = _counts(labels, strategy)
    rng = np.random.default_rng([seed, epoch])
    if strategy == "root":
        chances = counts[labels] ** -0.5
        return rng.choice(len(labels), len(labels), p=chances / chances.sum())
    drawn = []
    for label, wanted in enumerate(_wanted(counts, strategy).tolist()):
        own = rng.permutation(np.flatnonzero(labels == label))
        drawn.append(np.resize(own, wanted))  # goes through the class again and again until there are enough
    return rng.permutation(np.concatenate(drawn))


def class_weights(labels: np.ndarray, strategy: str, classes: int, names: Sequence[str] = CLASSES) -> np.ndarray:
    """Weigh classes in the loss, against the imbalance that is left in what `draw` draws.

    Args:
        labels: (N,) classes, 0..classes-1.
        strategy: a name in `STRATEGIES`.
        classes: C, how many there are; names: of them, for messages.

    Returns:
        (C,) float32; 1 throughout where the strategy has no weights. Their mean over what is drawn is 1, so that the
        learning rate means the same under every strategy.

    Raises:
        DataError: a class has no picture, or a picture no class.
        ValueError: there is no such strategy, or a label beyond the classes.
    """
    counts = _counts(labels, strategy, classes)
    if len(counts) > classes:
        raise ValueError(f"labels run to {len(counts) - 1}, but there are {classes} classes")
    if not counts.all():
        missing = ", ".join(name_of(label, names) for label in np.flatnonzero(counts == 0).tolist())
        raise DataError(f"there is no picture of {missing} to learn from: add some, or leave the class out")
    if strategy not in ("weights", "partial"):
        return np.ones(classes, np.float32)
    drawn = _wanted(counts, strategy)
    return (drawn.sum() / (classes * drawn)).astype(np.float32)


def _counts(labels: np.ndarray, strategy: str, least: int = 0) -> np.ndarray:
    """Count the pictures of each class, checking what is asked for."""
    if strategy not in STRATEGIES:
        raise ValueError(f"'{strategy}' is no strategy against imbalance; known: {', '.join(STRATEGIES)}")
    if not len(labels):
        raise DataError("there is no labelled picture to draw from")
    if np.min(labels) < 0:
        raise DataError(f"{np.sum(labels < 0)} pictures have no class (a coarse group at most): leave them out")
    return np.bincount(labels, minlength=least)


def _wanted(counts: np.ndarray, strategy: str) -> np.ndarray:
    """Say how many pictures of each class an epoch is to show; a class that is not there stays so."""
    if strategy not in ("full", "partial"):
        return counts
    mean = counts[counts > 0].mean()
    wanted = np.full(len(counts), mean) if strategy == "full" else np.sqrt(counts * mean)
    return np.where(counts > 0, np.maximum(1, np.round(wanted)), 0).astype(int)
