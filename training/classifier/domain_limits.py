"""Choose a classifier's temperature, abstention threshold and domain limits.

They are chosen on validation images and on views that imitate other telescopes.

The validation images are degraded by known amounts: fewer pixels, a nearer edge of the frame, a longer exposure. Each
limit of `inference.domain` is the last amount up to which enough names that are marked as sure are right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...models.classification_metrics import calibration_error
from ...models.decode import softmax
from ...models.intervals import wilson_interval
from ...models.labels import COARSE, coarse_group
from ...models.naming import sure_group
from ...runtime.inference.domain import Domain, highest_doubted, withhold_names
from ..augmentation.degradation import cut, overexposed, shrunk
from ..augmentation.telescope_views import draw_telescope_view
from ..data.errors import DataError
from ..data.splits import in_first_half
from .calibration import TARGET_ACCURACY, abstain_threshold, fit_temperature, share_above
from .dataset import GalaxyDataset

logger = logging.getLogger(__name__)

MIN_PRECISION = 0.9
"""Minimum share of right coarse groups among the names marked as sure, at every amount within the limits."""
VIEWS = 2
"""Number of views of every validation image."""
SIDES = (48, 32, 24, 20, 16, 12, 10, 8)
"""Sides in pixels of the galaxy's box in its frame."""
OUTSIDE = (0.1, 0.2, 0.3, 0.35, 0.42, 0.45, 0.5, 0.6)
"""Shares of the crop outside of the frame; 0.41 is that of a galaxy as large as its frame, at the default margin."""
BURNT = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Shares of the crop's pixels that are burnt out."""
MIN_ENERGY_QUANTILE = 0.01
"""Share of the validation images whose energy (T log sum exp(logit / T), T the temperature) is below the limit."""
GROUP_LIMITS = tuple(round(0.86 + 0.01 * step, 2) for step in range(14))
"""Summed probabilities of a group's classes that are tried as its limit."""
MIN_NAMES = 10
"""Minimum number of sure names above a group's limit."""
NEVER_SURE = 1.0
"""Threshold where none is high enough."""

Forward = Callable[[np.ndarray], np.ndarray]


def telescope_views(validation: GalaxyDataset, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `VIEWS` telescope views of each image; return them with their labels.

    The views are (N, size, size, 3) uint8, the labels (N,).
    """
    rng = np.random.default_rng([seed, 9])
    images = [draw_telescope_view(canvas, size, rng) for canvas in validation.canvases() for _ in range(VIEWS)]
    return np.stack(images), np.repeat(validation.labels, VIEWS)


def calibrate_on_views(
    forward: Forward, images: np.ndarray, validation: GalaxyDataset, seed: int
) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]:
    """Choose temperature, abstention and domain limits on images and their views.

    The abstention threshold lies above the probability that any class can have outside the domain, see
    `inference.domain.highest_doubted`, so that such a galaxy is never sure. Each half of the galaxies is measured with
    thresholds chosen on the other half.

    Right names are those of the right coarse group: with classes that have none, nothing is chosen, with a warning.

    Args:
        forward: of the network, (N, size, size, 3) uint8 to logits (N, C).
        images: of `validation`, (N, size, size, 3) uint8.
        seed: of the views.

    Returns:
        The ``decode`` section of the model's description; the precision of sure names, for the run's record; and the
        ``cross_checked`` of `validation.calibrate_and_measure`. None and no measurements if classes have no coarse
        group.
    """
    classes = validation.classes
    if ungrouped := [name for name in classes if coarse_group(name) not in COARSE]:
        logger.warning(
            "the classifier gets no limits of its domain: these are measured by coarse group (%s), and classes have "
            "none: %s", ", ".join(COARSE), ", ".join(ungrouped),
        )  # fmt: skip
        return None, {}, {}
    views, labels = telescope_views(validation, images.shape[1], seed)
    every = np.concatenate([images, views])
    known = np.concatenate([validation.labels, labels])
    logits = forward(every)
    temperature, abstain, groups = _choose_names(logits, known, classes)
    limits, measured = choose_domain(forward, images, validation, temperature, abstain)
    sure, checked = _measured_on_other_half(logits, known, validation.ids, classes)
    decode = {"temperature": temperature, "abstain": abstain, "domain": limits}
    return decode | ({"groups": groups} if groups else {}), measured | sure, checked


def _choose_names(
    logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> tuple[float, float, dict[str, float]]:
    """Choose temperature, abstention threshold and group limits on logits (N, C)."""
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    lowest = math.ceil(highest_doubted(logits.shape[1]) * 1e4 + 1) / 1e4
    try:
        abstain = max(lowest, round(abstain_threshold(probabilities, labels, TARGET_ACCURACY, 1 + VIEWS), 4))
    except DataError as error:
        abstain = NEVER_SURE
        logger.warning("no class will be reported as sure: %s", error)
    return temperature, abstain, choose_groups(probabilities, labels, classes, abstain)


def _measured_on_other_half(
    logits: np.ndarray, labels: np.ndarray, ids: Sequence[str], classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cross-check the chosen limits: choose on one half, measure on the other.

    The results are the precision and coverage of the sure names of images and of views; and of the images the expected
    calibration error (``ece``) and, if each half has a threshold, the share of the images above it (``abstain``).

    Args:
        logits: (N, C), of the validation images and then of `VIEWS` views of each; labels: (N,).
        ids: hashes of the validation images, which halve them; classes: names of the C classes.
    """
    images = len(ids)
    half = np.array([in_first_half(digest) for digest in ids], bool)
    first = np.concatenate([half, np.repeat(half, VIEWS)])
    rows = {"images": [np.zeros((2, 0), bool)], "views": [np.zeros((2, 0), bool)]}
    highest, thresholds, correct = np.zeros(images), np.zeros(images), np.zeros(images, bool)
    for chosen in (first, ~first):
        if not chosen.any() or chosen.all():
            return {}, {}
        temperature, abstain, groups = _choose_names(logits[chosen], labels[chosen], classes)
        probabilities = softmax(logits[~chosen], temperature)
        outside = Domain(groups=groups).excludes_groups(probabilities, classes)
        named = withhold_names(probabilities, outside, classes, abstain)
        outcome = _sure_and_right(named, labels[~chosen], classes, abstain)
        is_view = np.flatnonzero(~chosen) >= images
        others = np.flatnonzero(~chosen)[~is_view]
        highest[others] = probabilities[~is_view].max(axis=1)
        thresholds[others] = abstain
        correct[others] = probabilities[~is_view].argmax(axis=1) == labels[others]
        rows["images"].append(outcome[:, ~is_view])
        rows["views"].append(outcome[:, is_view])
    repeats = {"images": 1, "views": VIEWS}
    measured = {}
    for name, parts in rows.items():
        sure, right = np.concatenate(parts, axis=1)
        measured[name] = _precision(sure, right, repeats[name])
    checked: dict[str, Any] = {"ece": calibration_error(highest, correct)}
    if (thresholds < NEVER_SURE).all():
        checked["abstain"] = share_above(highest >= thresholds, correct)
    return measured, checked


def choose_groups(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], abstain: float
) -> dict[str, float]:
    """Choose minimum probabilities of coarse groups that are too often wrong.

    A group gets a limit if less than `MIN_PRECISION` of its sure names are right without one.

    Args:
        probabilities: (N, C) of validation images and views; labels: (N,) true classes; classes: names of the C.
        abstain: the abstention threshold.

    Returns:
        coarse group -> summed probability below which its galaxies are doubted; groups that need none are left out.
    """
    groups = np.array([coarse_group(name) for name in classes])
    best = _best_groups(probabilities, groups)
    sure, right = _sure_and_right(probabilities, labels, classes, abstain)
    limits: dict[str, float] = {}
    for group in COARSE:
        sums = probabilities[:, groups == group].sum(axis=1)
        named = sure & (best == group)
        if not named.any() or right[named].mean() >= MIN_PRECISION:
            continue
        kept = [named & (sums >= limit) for limit in GROUP_LIMITS]
        good = [
            limit
            for limit, names in zip(GROUP_LIMITS, kept, strict=True)
            if names.sum() >= MIN_NAMES and right[names].mean() >= MIN_PRECISION
        ]
        limits[group] = good[0] if good else NEVER_SURE
    return limits


def choose_domain(
    forward: Forward, images: np.ndarray, validation: GalaxyDataset, temperature: float, abstain: float | None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose the limits of `inference.domain.Domain`.

    Args:
        forward: of the network, (N, size, size, 3) uint8 to logits (N, C).
        images: of `validation`, (N, size, size, 3) uint8.
        temperature, abstain: of the classifier.

    Returns:
        The limits, and the measured precision and coverage at every amount for the run's record.
    """
    rng = np.random.default_rng(9)
    found: dict[str, Any] = {}
    limits: dict[str, float] = {}
    for name, amounts, degrade in (
        ("min_side", SIDES, lambda image, side: shrunk(image, round(side * (1 + validation.margin)))),
        ("max_outside", OUTSIDE, lambda image, share: cut(image, share, rng)),
        ("max_burnt", BURNT, overexposed),
    ):
        rows = []
        for amount in amounts:
            degraded = np.stack([degrade(image, amount) for image in images])
            probabilities = softmax(forward(degraded), temperature)
            precision = sure_precision(probabilities, validation.labels, validation.classes, abstain)
            rows.append({"amount": amount, **precision})
        found[name], limits[name] = rows, float(last_good(rows))
    logits = forward(images)
    highest = logits.max(axis=1)
    energy = highest + temperature * np.log(np.exp((logits - highest[:, None]) / temperature).sum(axis=1))
    limits["min_energy"] = round(float(np.quantile(energy, MIN_ENERGY_QUANTILE)), 3)
    return limits, found


def last_good(rows: Sequence[dict[str, float]]) -> float:
    """Return the last amount before the precision falls below `MIN_PRECISION`.

    The first amount is returned even if its precision is too low.
    """
    good = rows[0]["amount"]
    for row in rows:
        if row["precision"] < MIN_PRECISION:
            break
        good = row["amount"]
    return good


def sure_precision(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], abstain: float | None
) -> dict[str, float]:
    """Measure coverage and precision of the names that count as sure.

    Coverage is the share of images with a sure name (class or group); precision is the share of these whose coarse
    group is right.
    """
    sure, right = _sure_and_right(probabilities, labels, classes, abstain)
    return {"coverage": float(sure.mean()), "precision": float(right[sure].mean()) if sure.any() else 1.0}


def _precision(sure: np.ndarray, right: np.ndarray, repeats: int) -> dict[str, Any]:
    """Return `sure_precision` with its number of images and its 95 % interval.

    The interval is that of as many galaxies as there are, of which each has `repeats` images.
    """
    count, correct = int(sure.sum()), int((sure & right).sum())
    return {
        "images": len(sure),
        "coverage": count / max(1, len(sure)),
        "precision": correct / count if count else 1.0,
        "interval": list(wilson_interval(correct / repeats, count / repeats)),
    }


def _sure_and_right(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], abstain: float | None
) -> np.ndarray:
    """Return, per image, whether its name is sure and its group right: (2, N) bool."""
    groups = np.array([coarse_group(name) for name in classes])
    right = _best_groups(probabilities, groups) == groups[labels]
    named = [sure_group(dict(zip(classes, map(float, row), strict=True))) is not None for row in probabilities]
    sure = np.array(named, bool) | (probabilities.max(axis=1) >= (0.0 if abstain is None else abstain))
    return np.stack([sure, right])


def _best_groups(probabilities: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the most probable coarse group of each row (N, C).

    `groups` (C,) are those of the classes.
    """
    names = np.unique(groups)
    sums = np.stack([probabilities[:, groups == name].sum(axis=1) for name in names], axis=1)
    return np.asarray(names[sums.argmax(axis=1)])
