"""Accuracy, F1 and calibration of a classifier; every number is a plain float, or None where it is undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .labels import coarse_group

ECE_BINS = 15


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Measure a classifier.

    Args:
        probabilities: (N, C) 0..1, each row sums to 1.
        labels: (N,) integers 0..C-1, the true classes.
        classes: C class names, in output order; their coarse groups are those of `labels.coarse_group`.

    Returns:
        ``accuracy``, ``macro_f1`` (mean over the classes that occur in the truth), ``coarse_accuracy`` (by the coarse
        group of the predicted class), ``recall`` (class -> 0..1, None for a class without images), ``confusion``
        (C x C counts, rows are the truth), ``ece`` (expected calibration error, 15 equal bins; Guo et al. 2017,
        arXiv:1706.04599) and ``images``. Without images, everything except counts is None.

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
    correct, true_counts, predicted_counts = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = true_counts > 0
    f1 = 2 * correct[present] / (true_counts[present] + predicted_counts[present])
    return {
        "accuracy": _mean(predicted == labels),
        "macro_f1": _mean(f1),
        "coarse_accuracy": _mean(groups[predicted] == groups[labels]),
        "recall": {
            name: float(correct[index] / true_counts[index]) if true_counts[index] else None
            for index, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),
        "ece": calibration_error(probabilities.max(axis=1), predicted == labels) if labels.size else None,
        "images": int(labels.size),
    }


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
