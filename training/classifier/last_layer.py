"""Refit a classifier's last layer by regularised logistic regression.

Training also uses coarse groups, attributes and soft targets of teachers, which shift the boundaries between classes.
The features are kept, and the last layer is fitted to the classes alone (as in Kang et al. 2020, ICLR, "Decoupling
representation and classifier", and Kirichenko et al. 2023, ICLR).
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ..augmentation.telescope_views import draw_telescope_view
from ..run import RunError
from .dataset import GalaxyDataset
from .validation import compile_forward, log_loss

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the L2 penalty that are tried, on features of unit variance: C for every 1,000 images."""
POWER = -0.5
"""Exponent p of the weight n^p of each image of a class with n images."""
LAST = "logits"
TRAINED_LAYER = "trained_last_layer.npz"
"""File of a run folder with the kernel and bias of the last layer as it was trained, before its refit."""


def training_inputs(
    dataset: GalaxyDataset, size: int, seed: int, telescopes: bool, by_votes: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images to fit the last layer to, with their labels.

    Each image with a class is there in two orientations and, with `telescopes`, in a view that imitates another
    telescope.

    Returns:
        (N, size, size, 3) uint8, the labels (N,), and weights (N,): with `by_votes` the share of votes for the label,
        1 where there are no votes.
    """
    named = dataset.take(dataset.labelled)
    images = named.images(size)
    parts = [images, np.rot90(images, axes=(1, 2))]
    if telescopes:
        rng = np.random.default_rng([seed, 12])
        parts.append(np.stack([draw_telescope_view(canvas, size, rng) for canvas in named.canvases()]))
    shares = named.targets(by_votes)[np.arange(len(named)), named.labels]
    return np.concatenate(parts), np.tile(named.labels, len(parts)), np.tile(shares, len(parts))


def refit_last_layer(
    network: keras.Model,
    training: tuple[np.ndarray, np.ndarray, np.ndarray],
    validation: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any]:
    """Refit the last layer in place, with the penalty that is best on validation.

    The trained layer is one of the candidates, so that validation is never worse than before.

    Args:
        network: its last layer is a dense one, ``logits``.
        training: images (N, size, size, 3) uint8, their labels and weights (N,), see `training_inputs`.
        validation: sets of images and labels; the mean of their macro F1 decides, log losses break ties.

    Returns:
        The strength that was chosen, None for the trained layer, and the scores of each, for the run's record.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    layer = network.get_layer(LAST)
    features = compile_forward(keras.Model(network.input, layer.input))
    inputs, labels = features(training[0]), training[1]
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    counts = np.bincount(labels, minlength=layer.units).astype(float)
    importance = counts[labels] ** POWER * training[2]
    known = np.flatnonzero(counts)
    sets = [(features(images), truth) for images, truth in validation]
    candidates: dict[float | None, list[np.ndarray]] = {None: layer.get_weights()}
    if len(known) == layer.units > 2:
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength * len(labels) / 1000, max_iter=300)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that has not converged is scored too
                model.fit((inputs - mean) / scale, labels, importance / importance.mean())
            kernel = (model.coef_ / scale).T
            candidates[strength] = [kernel, model.intercept_ - mean @ kernel]
    rows: list[dict[str, Any]] = []
    for tried, (kernel, bias) in candidates.items():
        logits = [(inputs @ kernel + bias, truth) for inputs, truth in sets]
        scores, losses = [_macro_f1(*evaluated) for evaluated in logits], [log_loss(*evaluated) for evaluated in logits]
        rows.append({"strength": tried, "macro_f1": scores, "log_loss": losses})
    best = max(rows, key=lambda row: (sum(row["macro_f1"]), -sum(row["log_loss"])))["strength"]
    layer.set_weights([part.astype(np.float32) for part in candidates[best]])
    return {"strength": best, "strengths": rows}


def save_trained_layer(network: keras.Model, run: Path) -> None:
    """Save the last layer before its refit, so that the gain can be measured."""
    kernel, bias = network.get_layer(LAST).get_weights()
    np.savez(run / TRAINED_LAYER, kernel=kernel, bias=bias)


def restore_trained_layer(network: keras.Model, run: Path) -> None:
    """Set the last layer to the one that was saved before its refit.

    Raises:
        RunError: there is none, or it is damaged or of another network.
    """
    path = run / TRAINED_LAYER
    try:
        with path.open("rb") as file, np.load(file) as saved:
            network.get_layer(LAST).set_weights([saved["kernel"], saved["bias"]])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read: {error}; without it the gain of the refit is not measured") from None


def _macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    names = tuple(str(number) for number in range(logits.shape[1]))
    return float(classification_metrics(softmax(logits), labels, names).macro_f1 or 0.0)
