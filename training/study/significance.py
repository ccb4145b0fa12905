"""Compare two recipes over folds, and describe what the comparison can show.

The folds are drawn by `data.splits.k_fold_indices`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...extras import extra_command

EXACT_PAIRS = 12
"""Maximum number of differences for which all signs are enumerated, so that p is exact even with ties."""


@dataclass(frozen=True)
class MacroScores:
    """The metrics in which recipes are compared, 0..1.

    Attributes:
        accuracy: share of images with the right class.
        precision, recall, f1: means over the classes that occur in the truth.
        auc: mean over those classes of the area under the ROC curve of one class against the rest; None with fewer than
            two classes in the truth.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float | None


class Spread(NamedTuple):
    """Mean and standard deviation (ddof 1) over folds."""

    mean: float
    std: float


@dataclass(frozen=True)
class MetricDifference:
    """The test of one metric.

    Attributes:
        a, b: scores of the two recipes.
        difference: mean of b - a.
        pairs_used: number of pairs with a difference.
        p: two-sided p value.
        smallest_p: the smallest possible p for this number of pairs.
    """

    a: Spread
    b: Spread
    difference: float
    pairs_used: int
    p: float
    smallest_p: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "a": self.a._asdict(), "b": self.b._asdict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MetricDifference:
        """Create a difference from the values of `to_dict`."""
        return cls(**{**values, "a": Spread(**values["a"]), "b": Spread(**values["b"])})


@dataclass(frozen=True)
class PairedComparison:
    """Two recipes compared over the same folds.

    Attributes:
        pairs: number of folds.
        metrics: the test of each metric.
        reading: a sentence on what these numbers can show.
    """

    pairs: int
    metrics: Mapping[str, MetricDifference]
    reading: str


def class_rates(predicted: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure precision, recall and F1 (K,), 0..1, of the classes that occur.

    K is the number of classes among the true labels.

    A class that is never predicted has a precision of 0.

    Args:
        predicted, labels: (N,) predicted and true classes, 0..count-1.
    """
    right = np.bincount(labels[predicted == labels], minlength=count)
    true, predictions = np.bincount(labels, minlength=count), np.bincount(predicted, minlength=count)
    present = true > 0
    right, true, predictions = right[present], true[present], predictions[present]
    return right / np.maximum(predictions, 1), right / true, 2 * right / (true + predictions)


def macro_scores(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> MacroScores:
    """Measure a classifier by the metrics in which folds are compared.

    Args:
        probabilities: (N, C) 0..1, N at least 1.
        labels: (N,) true classes, 0..C-1.
        classes: C, the number of classes.

    Raises:
        ValueError: shapes do not agree, or a label is out of range.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.shape != (len(labels), classes) or not len(labels):
        raise ValueError(f"probabilities {probabilities.shape} do not fit {len(labels)} labels of {classes} classes")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, not within 0..{classes - 1}")
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1 = class_rates(predicted, labels, classes)
    present = np.unique(labels).tolist()
    areas = [_area(probabilities[:, label], labels == label) for label in present if len(present) > 1]
    return MacroScores(
        accuracy=float(np.mean(predicted == labels)),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        auc=float(np.mean(areas)) if areas else None,
    )


def roc_curve(scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve of a class against the rest.

    It consists of false and true positive rates (K,), both from 0 to 1.

    Args:
        scores: (N,) probabilities of the class.
        true: (N,) bool, whether an image is of the class; both kinds must occur.

    Raises:
        ValueError: all images are of the class, or none is.
    """
    true = np.asarray(true, bool)
    if not true.any() or true.all():
        raise ValueError("a ROC curve needs images of the class and images of others")
    order = np.argsort(-np.asarray(scores), kind="stable")
    ends = np.append(np.flatnonzero(np.diff(np.asarray(scores)[order])), len(order) - 1)  # ties are one step
    hits, alarms = np.cumsum(true[order])[ends], np.cumsum(~true[order])[ends]
    return np.append(0, alarms) / alarms[-1], np.append(0, hits) / hits[-1]


def class_scores(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Measure each class of a classifier.

    Args:
        probabilities: (N, C) 0..1; labels: (N,) true classes; classes: C names.

    Returns:
        Class -> ``precision`` (None where it was never predicted), ``recall``, ``f1``, ``support`` (number of images)
        and ``auc``, the area under the ROC curve of this class against the rest; None where they are undefined.
    """
    predicted, found = probabilities.argmax(axis=1), {}
    for label, name in enumerate(classes):
        true, assigned = labels == label, predicted == label
        right, support = int((true & assigned).sum()), int(true.sum())
        found[name] = {
            "precision": right / int(assigned.sum()) if assigned.any() else None,
            "recall": right / support if support else None,
            "f1": 2 * right / (support + int(assigned.sum())) if support else None,
            "support": support,
            "auc": _area(probabilities[:, label], true) if 0 < support < len(labels) else None,
        }
    return found


def _area(scores: np.ndarray, true: np.ndarray) -> float:
    """Return the area under the ROC curve; ties count half (Hanley & McNeil 1982)."""
    _, position, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[position]
    positives = int(true.sum())
    return float((ranks[true].sum() - positives * (positives + 1) / 2) / (positives * (len(true) - positives)))


def compare(
    scores_a: Mapping[str, np.ndarray], scores_b: Mapping[str, np.ndarray], repeats: int = 1
) -> PairedComparison:
    """Compare two recipes that were trained and measured on the same folds.

    The test is Wilcoxon's signed-rank test on paired differences, two-sided (Wilcoxon 1945, Biometrics Bulletin 1,
    80). Pairs without a difference are dropped, as Wilcoxon did, which lowers the number of pairs; without any
    difference p is 1. Differences below 1e-12 are rounding and count as none.

    Args:
        scores_a, scores_b: metric -> (n,) scores, one per fold, of the same folds in the same order.
        repeats: number of times that all images were divided into n / repeats folds.

    Raises:
        ValueError: metrics or folds do not agree, there are fewer than two, or a score is not finite.
        ModuleNotFoundError: scipy is not installed.
    """
    if set(scores_a) != set(scores_b) or not scores_a:
        raise ValueError(f"metrics do not agree: {sorted(scores_a)} and {sorted(scores_b)}")
    metrics, pairs = {}, set()
    for name in scores_a:
        a, b = np.asarray(scores_a[name], np.float64), np.asarray(scores_b[name], np.float64)
        if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
            raise ValueError(f"{name}: scores of shapes {a.shape} and {b.shape} are not two or more pairs")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ValueError(f"{name}: a score is not finite")
        p, used = _signed_rank(b - a)
        metrics[name] = MetricDifference(
            a=Spread(float(a.mean()), float(a.std(ddof=1))),
            b=Spread(float(b.mean()), float(b.std(ddof=1))),
            difference=float(np.mean(b - a)),
            pairs_used=used,
            p=p,
            smallest_p=_smallest(used),
        )
        pairs.add(len(a))
    if len(pairs) > 1:
        raise ValueError(f"metrics have different numbers of folds: {sorted(pairs)}")
    (count,) = pairs
    if repeats < 1 or count % repeats:
        raise ValueError(f"{count} pairs are not {repeats} repeats of as many folds")
    return PairedComparison(count, metrics, _reading(count, repeats))


def _smallest(pairs: int) -> float:
    return min(1.0, 2.0 ** (1 - pairs))


def _signed_rank(differences: np.ndarray) -> tuple[float, int]:
    """Return the p value of paired differences (n,) by the signed-rank test.

    The number of differences that are not 0 is returned as well.
    """
    try:
        from scipy.stats import PermutationMethod, wilcoxon
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"comparing recipes needs scipy: {extra_command('train')}", name=missing.name
        ) from missing
    rounded = np.round(differences, 12)  # otherwise equal differences would not tie
    rounded = rounded[rounded != 0]
    if not len(rounded):
        return 1.0, 0
    if len(rounded) == 1:
        return 1.0, 1  # both signs are equally likely
    method: Any = PermutationMethod(n_resamples=2 ** (EXACT_PAIRS + 1)) if len(rounded) <= EXACT_PAIRS else "auto"
    return float(wilcoxon(rounded, method=method).pvalue), len(rounded)


def _reading(pairs: int, repeats: int) -> str:
    """Describe what p over a number of folds can show."""
    folds = pairs // repeats
    smallest = _smallest(pairs)
    if repeats > 1:
        return (
            f"The {pairs} pairs are {repeats} repeats of {folds} folds over the same images, so they are not "
            "independent and p is smaller than it should be: repeats show how much the result depends on the division "
            "into folds, but they are not new data. Compare the size of the difference with the standard deviation and "
            "use p as a description only."
        )
    text = f"With {pairs} folds the smallest two-sided p is {smallest:.4g}"
    if smallest > 0.05:
        return (
            f"{text}: no difference, however large, can reach 0.05. Consider its size, whether its sign is the "
            "same in every fold, and the standard deviation; decide on images held out of all folds."
        )
    return (
        f"{text}. The training parts of the folds overlap, so their scores are not quite independent and p is somewhat "
        "smaller than it should be; decide on images held out of all folds."
    )
