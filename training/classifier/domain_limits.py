"""Choose a classifier's temperature, abstention and domain on views as of other telescopes, see `inference.domain`.

The validation images are degraded by known amounts: fewer pixels, a nearer edge of the frame, a longer exposure. Each
limit is the last amount up to which the names that are marked as sure are right often enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from ...models.decode import softmax
from ...models.labels import CLASSES, coarse_group
from ...models.levels import sky_and_peak
from ...models.naming import sure_group
from ...models.preprocess import resize
from ...runtime.inference.domain import BURNT_LEVEL
from ..augmentation.telescope_views import draw_telescope_view
from ..data.errors import DataError
from .calibration import TARGET_ACCURACY, abstain_threshold, fit_temperature
from .dataset import GalaxyDataset

logger = logging.getLogger(__name__)

MIN_PRECISION = 0.9
"""Share of right coarse groups among the names marked as sure, at every amount within the limits."""
VIEWS = 2
"""Views as of other telescopes of every validation image."""
SIDES = (48, 32, 24, 20, 16, 12, 10, 8)
OUTSIDE = (0.1, 0.2, 0.3, 0.35, 0.42, 0.45, 0.5, 0.6)
"""Of a galaxy as large as its frame 0.41 of the crop is outside, at the usual margin."""
BURNT = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
MIN_ENERGY_QUANTILE = 0.01

Forward = Callable[[np.ndarray], np.ndarray]


def telescope_views(validation: GalaxyDataset, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `VIEWS` views of every image: (N, size, size, 3) uint8 and their labels (N,)."""
    rng = np.random.default_rng([seed, 9])
    images = [draw_telescope_view(canvas, size, rng) for canvas in validation.canvases() for _ in range(VIEWS)]
    return np.stack(images), np.repeat(validation.labels, VIEWS)


def calibrate_on_views(
    forward: Forward, images: np.ndarray, validation: GalaxyDataset, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose temperature, abstention and domain on validation images and their views as of other telescopes.

    Args:
        forward: of the network, (N, size, size, 3) uint8 to logits (N, C).
        images: of `validation`, (N, size, size, 3) uint8.
        seed: of the views.

    Returns:
        The ``decode`` section of the model's description, and what was measured, for the run's record.
    """
    views, labels = telescope_views(validation, images.shape[1], seed)
    every = np.concatenate([images, views])
    known = np.concatenate([validation.labels, labels])
    temperature = fit_temperature(forward(every), known)
    probabilities = softmax(forward(every), temperature)
    abstain: float | None
    try:
        abstain = round(abstain_threshold(probabilities, known, TARGET_ACCURACY), 4)
    except DataError as error:
        abstain = None
        logger.warning("no abstention threshold: %s", error)
    limits, measured = choose_domain(forward, images, validation.labels, temperature, abstain, margin=validation.margin)
    measured["views"] = sure_precision(probabilities[len(images) :], labels, abstain)
    measured["images"] = sure_precision(probabilities[: len(images)], validation.labels, abstain)
    decode = {"temperature": temperature, "domain": limits}
    return decode if abstain is None else decode | {"abstain": abstain}, measured


def choose_domain(
    forward: Forward, images: np.ndarray, labels: np.ndarray, temperature: float, abstain: float | None, margin: float
) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose the limits of `inference.domain.Domain`.

    Args:
        forward: of the network, (N, size, size, 3) uint8 to logits (N, C).
        images: validation images; labels: (N,) their classes, of `labels.CLASSES`.
        temperature, abstain: of the classifier.
        margin: total share of the longer side that a crop adds.

    Returns:
        The limits, and the measured precision and coverage at every amount for the run's record.
    """
    rng = np.random.default_rng(9)
    found: dict[str, Any] = {}
    limits: dict[str, float] = {}
    for name, amounts, degrade in (
        ("min_side", SIDES, lambda image, side: shrunk(image, round(side * (1 + margin)))),
        ("max_outside", OUTSIDE, lambda image, share: cut(image, share, rng)),
        ("max_burnt", BURNT, overexposed),
    ):
        rows = []
        for amount in amounts:
            degraded = np.stack([degrade(image, amount) for image in images])
            probabilities = softmax(forward(degraded), temperature)
            rows.append({"amount": amount, **sure_precision(probabilities, labels, abstain)})
        found[name], limits[name] = rows, float(last_good(rows))
    logits = forward(images)
    highest = logits.max(axis=1)
    energy = highest + temperature * np.log(np.exp((logits - highest[:, None]) / temperature).sum(axis=1))
    limits["min_energy"] = round(float(np.quantile(energy, MIN_ENERGY_QUANTILE)), 3)
    return limits, found


def last_good(rows: Sequence[dict[str, float]]) -> float:
    """Return the last amount before the first at which too few sure names are right; the first one if it is that."""
    good = rows[0]["amount"]
    for row in rows:
        if row["precision"] < MIN_PRECISION:
            break
        good = row["amount"]
    return good


def sure_precision(probabilities: np.ndarray, labels: np.ndarray, abstain: float | None) -> dict[str, float]:
    """Return the share of images (N, C) with a sure name, class or group, and that of right groups among them."""
    groups = [coarse_group(name) for name in CLASSES]
    right = np.array(
        [groups[index] == groups[label] for index, label in zip(best_groups(probabilities), labels, strict=True)]
    )
    named = [sure_group(dict(zip(CLASSES, map(float, row), strict=True))) is not None for row in probabilities]
    sure = np.array(named) | (probabilities.max(axis=1) >= (0.0 if abstain is None else abstain))
    return {"coverage": float(sure.mean()), "precision": float(right[sure].mean()) if sure.any() else 1.0}


def best_groups(probabilities: np.ndarray) -> np.ndarray:
    """Return the index (N,) of a class of the most probable coarse group of each row (N, C)."""
    groups = np.array([coarse_group(name) for name in CLASSES])
    names, first = np.unique(groups, return_index=True)
    sums = np.stack([probabilities[:, groups == name].sum(axis=1) for name in names], axis=1)
    return np.asarray(first[sums.argmax(axis=1)])


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """Show a crop (size, size, 3) uint8 as one that had `side` pixels in its frame."""
    size = image.shape[0]
    if side >= size:
        return image
    return resize(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), size, size)


def cut(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Show a crop of which `share` of the area lies outside the frame, at one side or at two, as the runtime does."""
    size, two = image.shape[0], rng.random() < 0.5
    strip = round(size * (1 - np.sqrt(1 - share)) / 2) if two else round(size * share)
    view = np.rot90(image, int(rng.integers(4)))
    # Larger than its frame, or at the edge of it.
    inner = view[strip : size - strip, strip : size - strip] if two else view[strip:]
    other = strip if two else 0
    inner = np.ascontiguousarray(inner)
    repeated = cv2.copyMakeBorder(inner, strip, other, other, other, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(repeated)


def overexposed(image: np.ndarray, share: float) -> np.ndarray:
    """Raise a crop's light above the sky until `share` of its pixels are burnt out."""
    sky, _ = sky_and_peak(image)
    light = image - sky
    factor = (BURNT_LEVEL + 2 - sky.max()) / max(float(np.quantile(light.max(axis=2), 1 - share)), 1.0)
    return np.asarray(np.clip(np.round(sky + light * max(factor, 1.0)), 0, 255).astype(np.uint8))
