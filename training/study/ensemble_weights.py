"""Weighted averages of the probabilities of several classifiers.

The weights are found on validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .significance import class_rates


def blend(probabilities: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Average the probabilities of several models.

    Args:
        probabilities: for each of M models (N, C) 0..1, of the same images and classes.
        weights: (M,) not negative; they are divided by their sum.

    Returns:
        (N, C) float64 0..1.

    Raises:
        ValueError: the shapes differ, or the weights do not match the models.
    """
    shapes = {np.shape(array) for array in probabilities}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"models do not give probabilities of one shape (N, C): {sorted(shapes)}")
    share = np.asarray(weights, np.float64)
    if share.shape != (len(probabilities),) or not np.isfinite(share).all() or share.min() < 0 or share.sum() <= 0:
        raise ValueError(f"weights {share.tolist()} do not fit {len(probabilities)} models: one each, none negative")
    return np.asarray(np.einsum("m,mnc->nc", share / share.sum(), np.asarray(probabilities, np.float64)))


def find_weights(probabilities: Sequence[np.ndarray], labels: np.ndarray, step: float = 0.05) -> np.ndarray:
    """Find the weights with the best macro F1.

    Of equally good weights, those with the lowest log loss are chosen.

    For two models, every weight on the grid is tried, as in the university report. For more, a hill climb starts from
    each model alone and from equal weights, and moves weight from one model to another, by the amount that helps most,
    until no move helps. It may end at a local optimum.

    Args:
        probabilities: for each of M models (N, C) 0..1 on **validation** images. Weights found on test images
            would flatter the result.
        labels: (N,) true classes, 0..C-1.
        step: step of the weights; must divide 1.

    Returns:
        (M,) float64 weights with a sum of 1.

    Raises:
        ValueError: the shapes differ, or the step does not divide 1.
    """
    count, labels = len(probabilities), np.asarray(labels)
    units = round(1 / step) if 0 < step <= 1 else 0
    if not units or abs(units * step - 1) > 1e-6:
        raise ValueError(f"step is {step}; it must divide 1, as 0.05 does")
    stack = np.asarray(probabilities, np.float64) if count else np.zeros(0)
    if stack.ndim != 3 or not len(labels) or labels.shape != stack.shape[1:2]:
        raise ValueError(f"probabilities {stack.shape} (models, N, C) do not fit {labels.shape} labels")
    known: dict[tuple[int, ...], tuple[float, float]] = {}

    def score(allocation: tuple[int, ...]) -> tuple[float, float]:
        if allocation not in known:
            known[allocation] = _score(blend(probabilities, allocation), labels)
        return known[allocation]

    if count <= 2:
        grid = [(units - second, second)[:count] for second in (range(units + 1) if count == 2 else (0,))]
        return np.array(max(grid, key=score)) / units
    equal = tuple(units // count + (number < units % count) for number in range(count))
    starts = [equal, *(tuple(units * (number == chosen) for number in range(count)) for chosen in range(count))]
    return np.array(max((_climb(start, score) for start in starts), key=score)) / units


def _climb(allocation: tuple[int, ...], score: Callable[[tuple[int, ...]], tuple[float, float]]) -> tuple[int, ...]:
    """Move weight between two models at a time while that improves the score."""
    while True:
        moves = [allocation]
        for source, available in enumerate(allocation):
            for target in range(len(allocation)):
                for amount in range(1, available + 1 if target != source else 1):
                    moved = list(allocation)
                    moved[source] -= amount
                    moved[target] += amount
                    moves.append(tuple(moved))
        best = max(moves, key=score)  # the first of equal moves, so nothing changes without an improvement
        if best == allocation:
            return allocation
        allocation = best


def _score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return macro F1 and minus the log loss; higher is better for both."""
    f1 = class_rates(probabilities.argmax(axis=1), labels, probabilities.shape[1])[2].mean()
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
    return round(float(f1), 12), -float(loss)
