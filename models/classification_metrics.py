"""Accuracy, F1 and calibration of a classifier.

Every number is a plain float, or None where it is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .intervals import bootstrap_interval, wilson_interval
from .labels import coarse_group
from .metrics import ClassificationMetrics

ECE_BINS = 15
MIN_SUPPORT = 10
"""Minimum images of the rarest class of a source whose macro F1 is shown; with fewer, one image is worth points."""


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> ClassificationMetrics:
    """Measure a classifier.

    Args:
        probabilities: (N, C) 0..1, each row sums to 1.
        labels: (N,) integers 0..C-1, the true classes.
        classes: C class names, in output order; their coarse groups are those of `labels.coarse_group`.

    Returns:
        The metrics; the calibration error is over 15 equal bins (Guo et al. 2017, arXiv:1706.04599). Without images,
        everything except counts is None.

    Raises:
        ValueError: shapes do not match, or a label is out of range.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    count = len(classes)
    if probabilities.ndim != 2 or probabilities.shape[1] != count or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"probabilities {probabilities.shape} and labels {labels.shape} do not fit {count} classes: "
            f"(N, {count}) and (N,) are needed"
        )
    labels = labels.astype(np.intp)
    if labels.size and not (labels.min() >= 0 and labels.max() < count):
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, not within 0..{count - 1}")
    groups = np.asarray([coarse_group(name) for name in classes])

    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    correct, true_counts = np.diag(confusion), confusion.sum(axis=1)
    return ClassificationMetrics(
        accuracy=_mean(predicted == labels),
        macro_f1=_macro_f1(confusion) if labels.size else None,
        coarse_accuracy=_mean(groups[predicted] == groups[labels]),
        recall={
            name: float(correct[index] / true_counts[index]) if true_counts[index] else None
            for index, name in enumerate(classes)
        },
        confusion=confusion.tolist(),
        ece=calibration_error(probabilities.max(axis=1), predicted == labels) if labels.size else None,
        images=int(labels.size),
    )


def classification_intervals(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, Any]:
    """Return the 95 % intervals of `classification_metrics`.

    They are computed from its confusion matrix (rows: truth).

    Returns:
        ``accuracy`` and ``coarse_accuracy`` (Wilson), ``macro_f1`` (by drawing images with replacement; None where no
        image has a class) and ``recall``, class -> interval (Wilson), None for a class without images.
    """
    counts = np.asarray(confusion)
    groups = np.asarray([coarse_group(name) for name in classes])
    total, same = int(counts.sum()), int(counts[groups[:, None] == groups].sum())
    macro = None
    if total:
        cells = np.repeat(np.arange(counts.size), counts.ravel())

        def drawn(weights: np.ndarray) -> np.ndarray:
            return np.array([_macro_f1(np.bincount(cells, weights, counts.size).reshape(counts.shape))])

        low, high = bootstrap_interval(drawn, total)
        macro = [float(low[0]), float(high[0])]
    return {
        "accuracy": list(wilson_interval(int(np.trace(counts)), total)),
        "coarse_accuracy": list(wilson_interval(same, total)),
        "macro_f1": macro,
        "recall": {
            name: list(wilson_interval(int(row[index]), int(row.sum()))) if row.sum() else None
            for index, (name, row) in enumerate(zip(classes, counts, strict=True))
        },
    }


def smallest_support(confusion: Sequence[Sequence[int]]) -> int:
    """Return the number of images of the rarest class in a confusion matrix.

    Its rows are the truth. Classes without images do not count; the result is 0 if no class has any.
    """
    counts = np.asarray(confusion).sum(axis=1)
    return int(counts[counts > 0].min(initial=10**9)) if counts.any() else 0


def _macro_f1(confusion: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur in the truth (rows)."""
    correct, true_counts, predicted_counts = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = true_counts > 0
    return float(np.mean(2 * correct[present] / (true_counts[present] + predicted_counts[present])))


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error 0..1, in 15 equal bins.

    Args:
        confidence: (N,) 0..1, the probability of the predicted class; correct: (N,) bool, whether it is the true one.
    """
    # Bins are closed above, as in the paper; the first also contains 0.
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, correct.astype(float) - confidence, ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def chance_calibration_error(probabilities: np.ndarray, draws: int = 200, seed: int = 0) -> float:
    """Return the mean calibration error that perfect probabilities would show.

    It is that of this number of images.

    The measured error is never 0: in a bin of thirty images the accuracy differs from the confidence by chance
    (Roelofs et al. 2022, arXiv:2012.08668). An error that is not larger is no evidence of miscalibration.

    Args:
        probabilities: (N, C) 0..1.
        draws: number of times that outcomes are drawn by these probabilities; seed: of the draws.
    """
    confidence, rng = np.asarray(probabilities).max(axis=1), np.random.default_rng(seed)
    drawn = (calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(draws))
    return float(np.mean(list(drawn)))
