"""Calibrate probabilities and choose a classifier's abstention threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...extras import extra_command
from ...models.intervals import wilson_interval
from ..data.errors import DataError

TEMPERATURES = (0.2, 5.0)
"""Range in which the temperature is searched."""

MIN_KEPT = 30
"""Minimum number of images above a threshold for a statement about their accuracy."""

TARGET_ACCURACY = 0.85
"""Accuracy, by its lower bound on validation, of the classes that are reported above the abstention threshold."""

CONFIDENCE = 1.6449
"""Standard deviations of a one-sided 95 % bound."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fit the softmax temperature, 0.2..5, by maximum likelihood.

    See Guo et al. 2017, arXiv:1706.04599.

    The likelihood has a single maximum, since its logarithm is concave in the inverse temperature.

    Args:
        logits: (N, C), of validation images.
        labels: (N,) true classes, 0..C-1.

    Raises:
        DataError: there are no images to fit on.
        ModuleNotFoundError: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"fitting a temperature needs scipy: {extra_command('train')}", name=missing.name
        ) from missing
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if not len(labels):
        raise DataError("there is no validation image to fit a temperature on")
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - own * np.exp(-log_temperature)))

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def accuracy_coverage(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return accuracy over coverage as the confidence threshold rises.

    Args:
        probabilities: (N, C) 0..1.
        labels: (N,) true classes.

    Returns:
        thresholds: (T,) the confidences (highest probabilities) that occur, ascending.
        coverage: (T,) share 0..1 of the images with at least this confidence, descending from 1.
        accuracy: (T,) share 0..1 of those classified correctly.
    """
    thresholds, kept, correct = _counts_above(probabilities, labels)
    return thresholds, kept / max(1, len(labels)), correct / kept


def share_above(kept: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Describe the images above a threshold, for a run's record.

    Args:
        kept: (N,) bool, whether an image is above it; right: (N,) bool, whether its class is right.

    Returns:
        ``coverage``, the share of images above it; ``accuracy`` of these, if there are any, and its 95 % ``interval``.
    """
    count, correct = int(kept.sum()), int((kept & right).sum())
    accuracy = {"accuracy": correct / count} if count else {}
    return {"coverage": count / len(kept), **accuracy, "interval": list(wilson_interval(correct, count))}


def _counts_above(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count images, and correct ones, at or above each confidence.

    Returns the confidences (T,) that occur, ascending, and both counts (T,).
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} do not fit: (N, C) and (N,)")
    thresholds, index = np.unique(probabilities.max(axis=1), return_inverse=True)
    is_correct = (probabilities.argmax(axis=1) == labels).astype(int)
    kept = np.cumsum(np.bincount(index, minlength=len(thresholds))[::-1])[::-1]
    correct = np.cumsum(np.bincount(index, is_correct, len(thresholds))[::-1])[::-1]
    return thresholds, kept, correct


def wilson_bound(correct: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return Wilson's lower 95 % bound of the share correct / kept, in 0..1.

    `kept` must be at least 1 (Wilson 1927, JASA 22, 209).
    """
    share, squared = correct / kept, CONFIDENCE**2
    spread = CONFIDENCE * np.sqrt(share * (1 - share) / kept + squared / (4 * kept**2))
    bound: np.ndarray = (share + squared / (2 * kept) - spread) / (1 + squared / kept)
    return bound


def abstain_threshold(probabilities: np.ndarray, labels: np.ndarray, accuracy_wanted: float, repeats: int = 1) -> float:
    """Return the confidence below which the classifier should abstain.

    It is the lowest one at which at least `MIN_KEPT` images are left and Wilson's lower bound of their accuracy
    reaches `accuracy_wanted`. The bound holds for each threshold, not for the choice of the best of many: confirm it
    on images that were not used for the choice.

    Args:
        probabilities: (N, C) 0..1, calibrated, of validation images.
        labels: (N,) true classes.
        accuracy_wanted: 0..1, of the images above the threshold.
        repeats: number of rows of each galaxy, e.g. views of it. They are alike, so that the bound is that of as many
            galaxies, not of as many rows.

    Returns:
        The threshold: 0 if no abstention is needed; otherwise halfway between the lowest confidence kept and the
        next below, so that rounding it does not change which images are kept.

    Raises:
        ValueError: the accuracy wanted is not within 0..1.
        DataError: no threshold reaches it on these images.
    """
    if not 0 <= accuracy_wanted <= 1:
        raise ValueError(f"accuracy_wanted is {accuracy_wanted}; it must lie in 0..1")
    thresholds, kept, correct = _counts_above(probabilities, labels)
    kept, correct, galaxies = kept / repeats, correct / repeats, len(labels) // repeats
    enough = kept >= MIN_KEPT
    if not enough.any():
        raise DataError(f"{galaxies} validation images are too few to choose a threshold: {MIN_KEPT} are needed")
    bounds = wilson_bound(correct, kept)
    meets = enough & (bounds >= accuracy_wanted)
    if not meets.any():
        raise DataError(
            f"no threshold gives an accuracy of {accuracy_wanted:.3g} that {galaxies} validation images show; "
            f"the maximum is {bounds[enough].max():.3g}: train longer, or add images"
        )
    lowest = int(np.argmax(meets))
    return float(thresholds[lowest - 1] + thresholds[lowest]) / 2 if lowest else 0.0
