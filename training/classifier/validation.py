"""Evaluate a classifier on the validation part.

This gives the metrics, the temperature, the abstention threshold and the plots.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...models.classification_metrics import calibration_error, classification_metrics
from ...models.decode import softmax
from ...models.metrics import ClassificationMetrics
from ..data.errors import DataError
from ..data.splits import in_first_half
from ..figures.plots import accuracy_coverage as plot_coverage
from ..figures.plots import confusion_matrix, learning_curves, reliability
from ..run import write_arrays
from .calibration import TARGET_ACCURACY, abstain_threshold, accuracy_coverage, fit_temperature, share_above
from .dataset import GalaxyDataset

BATCH = 64

Forward = Callable[[np.ndarray], np.ndarray]
"""Takes images (N, size, size, 3) uint8, returns logits (N, C) float32."""


def compile_forward(network: keras.Model, batch: int = BATCH) -> Forward:
    """Compile a function that runs a network on images in batches.

    The returned function always uses the network's current weights.
    """
    run = tf.function(lambda inputs: network(inputs, training=False), reduce_retracing=True)

    def forward(images: np.ndarray) -> np.ndarray:
        parts = [
            run(tf.constant(images[start : start + batch], tf.float32)).numpy()
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, network.output_shape[-1]), np.float32)

    return forward


def predict(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Compute logits (N, C) float32 of images (N, size, size, 3) uint8."""
    return compile_forward(network)(images)


def evaluate_logits(logits: np.ndarray, dataset: GalaxyDataset, temperature: float = 1.0) -> ClassificationMetrics:
    """Compute metrics from logits (N, C) of labelled images."""
    return classification_metrics(softmax(logits, temperature), dataset.labels, dataset.classes)


def evaluate_by_source(
    logits: np.ndarray, dataset: GalaxyDataset, temperature: float
) -> dict[str, ClassificationMetrics]:
    """Compute metrics from logits (N, C) of labelled images, by source of the images."""
    probabilities, sources = softmax(logits, temperature), np.array(dataset.sources)
    return {
        name: classification_metrics(probabilities[sources == name], dataset.labels[sources == name], dataset.classes)
        for name in sorted(set(dataset.sources))
    }


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log probability of the true classes."""
    return float(-np.log(softmax(logits)[np.arange(len(labels)), labels] + 1e-9).mean())


def calibrate_and_measure(
    logits: np.ndarray,
    validation: GalaxyDataset,
    out: Path,
    decode: dict[str, Any] | None = None,
    cross_checked: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calibrate on validation logits (N, C), measure, and write the predictions.

    Temperature and abstention threshold are fitted; the file is ``predictions.npz``.

    Args:
        decode: temperature and abstention threshold if they are already chosen; then they are only measured.
        cross_checked: of a given `decode`: ``ece`` and ``abstain`` as of `_cross_check`, as far as there are any.

    Returns:
        The ``decode`` section of the model's description (temperature, and ``abstain`` if a threshold is high enough),
        and the metrics at that temperature, plain values for the run's record: of all images and, under ``sets``, by
        source.
    """
    checked = (cross_checked or {}) if decode else _cross_check(logits, validation)
    temperature = decode["temperature"] if decode else fit_temperature(logits, validation.labels)
    metrics = evaluate_logits(logits, validation, temperature).to_dict()
    by_source = evaluate_by_source(logits, validation, temperature)
    metrics["sets"] = {name: source.to_dict() for name, source in by_source.items()}
    metrics["ece_before"] = evaluate_logits(logits, validation).ece
    metrics["chosen_on"] = "validation"
    metrics["ece"] = checked.get("ece")
    probabilities, chosen = softmax(logits, temperature), decode.get("abstain") if decode else None
    abstain, metrics["abstain"] = _choose_abstention(probabilities, validation.labels, out, chosen)
    if abstain and abstain["abstain"] < 1:
        metrics["abstain"] |= checked.get("abstain", {})
    write_arrays(
        out / "predictions.npz",
        logits=logits,
        labels=validation.labels,
        set=np.array(validation.sources),
        ids=np.array(validation.ids),
    )
    return decode or {"temperature": temperature} | abstain, metrics


def _cross_check(logits: np.ndarray, validation: GalaxyDataset) -> dict[str, Any]:
    """Check temperature and threshold: choose on one half, measure on the other.

    Returns:
        ``ece``: the calibration error of all images; missing if a half is empty. ``abstain``: `share_above`, missing
        where no threshold is high enough on a half.
    """
    labels = validation.labels
    half = np.array([in_first_half(digest) for digest in validation.ids], bool)
    if not half.any() or half.all():
        return {}
    probabilities, thresholds = np.zeros_like(logits), np.full(len(labels), np.nan)
    for chosen in (half, ~half):
        temperature = fit_temperature(logits[chosen], labels[chosen])
        probabilities[~chosen] = softmax(logits[~chosen], temperature)
        with suppress(DataError):  # no threshold is high enough
            own = softmax(logits[chosen], temperature)
            thresholds[~chosen] = abstain_threshold(own, labels[chosen], TARGET_ACCURACY)
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    checked: dict[str, Any] = {"ece": calibration_error(highest, right)}
    if np.isfinite(thresholds).all():
        checked["abstain"] = share_above(highest >= thresholds, right)
    return checked


def _choose_abstention(
    probabilities: np.ndarray, labels: np.ndarray, out: Path, chosen: float | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose the abstention threshold, and plot coverage against accuracy.

    Returns:
        The entry for ``decode``, empty if no threshold is high enough, and that for the metrics.
    """
    thresholds, coverage, accuracy = accuracy_coverage(probabilities, labels)
    try:
        if chosen is None:
            chosen = abstain_threshold(probabilities, labels, TARGET_ACCURACY)
    except DataError as error:
        return {}, {"accuracy_wanted": TARGET_ACCURACY, "none": str(error)}
    plot_coverage(coverage, accuracy, chosen, out / "coverage.png", thresholds)
    return {"abstain": round(chosen, 4)}, {"accuracy_wanted": TARGET_ACCURACY, "threshold": chosen}


def write_plots(
    out: Path,
    log: list[dict[str, Any]],
    logits: np.ndarray,
    temperature: float,
    metrics: dict[str, Any],
    validation: GalaxyDataset,
) -> None:
    """Plot learning curves, confusion matrix and reliability into a run folder."""
    learning_curves(log, out / "learning.png")
    confusion_matrix(np.array(metrics["confusion"]), validation.classes, out / "confusion.png")
    probabilities = softmax(logits), softmax(logits, temperature)
    reliability(*probabilities, validation.labels, out / "reliability.png")
