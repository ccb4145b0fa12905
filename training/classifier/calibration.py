"""Make probabilities mean what they say, and find from which one on a name is worth giving."""

from __future__ import annotations

import numpy as np

from ...models.classification_metrics import calibration_error
from ..data.sample import DataError

TEMPERATURES = (0.2, 5.0)

MIN_KEPT = 30
"""So many pictures must be left above a threshold before anything is claimed of them."""

CONFIDENCE = 1.6449
"""Standard deviations of a one-sided bound that holds 95 times in 100."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature in 0.2..5 that makes logits most likely (Guo et al. 2017, arXiv:1706.04599).

    The likelihood has one peak over the temperature, since its logarithm is concave in the inverse.

    Args:
        logits: (N, C), of validation pictures.
        labels: (N,) true classes, 0..C-1.

    Raises:
        DataError: there is no picture to fit on.
        ModuleNotFoundError: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "temperatures are fitted by scipy: pip install 'galaxy-edge[train]'", name=missing.name
        ) from missing
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if not len(labels):
        raise DataError("there is no validation picture to fit a temperature on")
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - own * np.exp(-log_temperature)))

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def expected_calibration_error(probabilities: np.ndarray, draws: int = 200, seed: int = 0) -> float:
    """Tell which calibration error perfect probabilities would show on so few pictures, on average.

    The measure is never 0: of thirty pictures in a bin, chance alone makes some more right than their confidence says
    (Roelofs et al. 2022, arXiv:2012.08668). So an error that is no larger says nothing against a network.

    Args:
        probabilities: (N, C) 0..1; draws: how often outcomes are drawn as these probabilities say, with `seed`.
    """
    confidence, rng = np.asarray(probabilities).max(axis=1), np.random.default_rng(seed)
    drawn = (calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(draws))
    return float(np.mean(list(drawn)))


def accuracy_coverage(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trace how accurate names are when only confident ones are given.

    Args:
        probabilities: (N, C) 0..1.
        labels: (N,) true classes.

    Returns:
        thresholds: (T,) the confidences (highest probabilities) that occur, ascending.
        coverage: (T,) share 0..1 of the pictures with at least this confidence, from 1 down.
        accuracy: (T,) share 0..1 of those named right.
    """
    thresholds, kept, right = _kept(probabilities, labels)
    return thresholds, kept / max(1, len(labels)), right / kept


def _kept(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, for each confidence (T,) ascending, the pictures that have it or more, and those of them named right."""
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} do not fit: (N, C) and (N,)")
    thresholds, place = np.unique(probabilities.max(axis=1), return_inverse=True)
    correct = (probabilities.argmax(axis=1) == labels).astype(int)
    kept = np.cumsum(np.bincount(place, minlength=len(thresholds))[::-1])[::-1]
    right = np.cumsum(np.bincount(place, correct, len(thresholds))[::-1])[::-1]
    return thresholds, kept, right


def wilson_bound(right: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Bound a share from below, 95 times in 100 (Wilson 1927, JASA 22, 209): right of kept (>= 1) -> 0..1."""
    share, squared = right / kept, CONFIDENCE**2
    spread = CONFIDENCE * np.sqrt(share * (1 - share) / kept + squared / (4 * kept**2))
    return (share + squared / (2 * kept) - spread) / (1 + squared / kept)


def abstain_threshold(probabilities: np.ndarray, labels: np.ndarray, accuracy_wanted: float) -> float:
    """Find the confidence below which a galaxy is better left unnamed.

    It is the lowest one at which at least `MIN_KEPT` pictures are left and Wilson's lower bound of their accuracy
    reaches what is wanted. A few lucky pictures are so no proof; the bound holds for each threshold, not for having
    picked the best of many, so confirm it on pictures that played no part.

    Args:
        probabilities: (N, C) 0..1, calibrated, on validation pictures.
        labels: (N,) true classes.
        accuracy_wanted: 0..1, of the names that are given.

    Returns:
        The threshold: 0 when everything may be named; otherwise the middle between the lowest confidence kept and
        the next below, so that rounding it moves no picture across.

    Raises:
        ValueError: the accuracy wanted is not within 0..1.
        DataError: no threshold reaches it on these pictures.
    """
    if not 0 <= accuracy_wanted <= 1:
        raise ValueError(f"accuracy_wanted is {accuracy_wanted}; it must lie in 0..1")
    thresholds, kept, right = _kept(probabilities, labels)
    enough = kept >= MIN_KEPT
    if not enough.any():
        raise DataError(f"{len(labels)} validation pictures are too few to choose a threshold: {MIN_KEPT} are needed")
    bounds = wilson_bound(right, kept)
    meets = enough & (bounds >= accuracy_wanted)
    if not meets.any():
        raise DataError(
            f"no threshold gives an accuracy of {accuracy_wanted:.3g} that {len(labels)} validation "
            f"pictures could prove; the most is {bounds[enough].max():.3g}: ask for less, or bring more"
        )
    lowest = int(np.argmax(meets))
    return float(thresholds[lowest - 1] + thresholds[lowest]) / 2 if lowest else 0.0
