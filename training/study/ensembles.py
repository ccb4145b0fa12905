"""Ensembles of finished runs; their weights are found on the validation part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ...models.metrics import ClassificationMetrics
from ..classifier.calibration import fit_temperature
from ..run import RunError, network_hash, read_record, write_json
from .agreement import read_predictions
from .ensemble_weights import blend, find_weights

TINY = 1e-9
"""Added to probabilities before taking the logarithm."""


@dataclass(frozen=True)
class Ensemble:
    """Runs and their weights; the content of ``ensemble.json``.

    Attributes:
        runs: their folders.
        networks: hashes of their networks.
        weights: with a sum of 1.
        temperature: of the weighted average.
        alone: metrics on validation of each run.
        together: metrics on validation of the ensemble.
        ece_before: calibration error of the ensemble at a temperature of 1.
    """

    runs: Sequence[str]
    networks: Sequence[str]
    weights: Sequence[float]
    temperature: float
    alone: Sequence[ClassificationMetrics]
    together: ClassificationMetrics
    ece_before: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        metrics = {"alone": [found.to_dict() for found in self.alone], "together": self.together.to_dict()}
        return {**vars(self), **metrics, "chosen_on": "validation"}


def find_ensemble(runs: Sequence[Path], out: Path) -> Ensemble:
    """Find the weights of runs that maximise macro F1 on validation.

    The result is written to ``ensemble.json``.

    Raises:
        RunError: there are fewer than two runs, one is not finished, or their classes or validation images differ.
    """
    by_run, labels, classes = _predictions(runs)
    weights = find_weights(by_run, labels)
    together = blend(by_run, weights)
    temperature = fit_temperature(np.log(together + TINY), labels)
    result = Ensemble(
        runs=[str(run) for run in runs],
        networks=[network_hash(run) for run in runs],
        weights=[float(weight) for weight in weights],
        temperature=temperature,
        alone=[classification_metrics(probabilities, labels, classes) for probabilities in by_run],
        together=classification_metrics(calibrated(together, temperature), labels, classes),
        ece_before=classification_metrics(together, labels, classes).ece,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "ensemble.json", result.to_dict())
    return result


def _predictions(runs: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Return each run's probabilities (N, C), the labels (N,) and the classes.

    They are of the validation part.

    Raises:
        RunError: see `find_ensemble`.
    """
    if len(runs) < 2:
        raise RunError("an ensemble needs two or more runs")
    records = [read_record(run, "classify") for run in runs]
    if len({run.resolve() for run in runs}) < len(runs):
        raise RunError("an ensemble needs different runs: one is named twice")
    for run, record in zip(runs, records, strict=True):
        if not record.is_finished:
            raise RunError(f"{run} is not finished, so it cannot be part of an ensemble")
    loaded = [(record, read_predictions(run)) for run, record in zip(runs, records, strict=True)]
    first = loaded[0][1]
    for run, (record, predictions) in zip(runs, loaded, strict=True):
        if not np.array_equal(predictions["ids"], first["ids"]):
            raise RunError(f"{run} was validated on other images than {runs[0]}: train both on one split")
        if record.model["classes"] != loaded[0][0].model["classes"]:
            raise RunError(f"{run} has other classes than {runs[0]}")
    by_run = [softmax(predictions["logits"], record.model["decode"]["temperature"]) for record, predictions in loaded]
    return by_run, first["labels"], loaded[0][0].model["classes"]


def ensemble_temperature(runs: Sequence[Path], weights: Sequence[float]) -> float:
    """Return the temperature of a weighted average of runs.

    It is fitted on their validation images.

    Raises:
        RunError: see `find_ensemble`.
    """
    by_run, labels, _ = _predictions(runs)
    return fit_temperature(np.log(blend(by_run, weights) + TINY), labels)


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Apply a temperature to averaged probabilities (N, C).

    An average is less confident than each of its models.
    """
    return softmax(np.log(probabilities + TINY), temperature)


def parse_shares(text: str, runs: int) -> list[float]:
    """Read the weights of an ensemble from a list such as ``0.6,0.4``.

    They are divided by their sum.

    Raises:
        RunError: they are not `runs` positive numbers.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != runs or not all(0 < share < float("inf") for share in shares):
        raise RunError(f"'{text}' does not give {runs} positive shares, one for each run: write e.g. 0.6,0.4")
    return [share / sum(shares) for share in shares]


def read_ensemble(chosen: Path, runs: Sequence[Path]) -> tuple[list[float], float]:
    """Read the weights and the common temperature of runs from an ``ensemble.json``.

    Returns:
        The weights in the order of `runs`, which may differ from that of the file, and the temperature.

    Raises:
        RunError: the file is not an ensemble, or has weights of other runs.
    """
    try:
        stored = json.loads(chosen.read_text(encoding="utf-8"))
        weights = {name: float(weight) for name, weight in zip(stored["networks"], stored["weights"], strict=True)}
        temperature = float(stored["temperature"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{chosen} is not an ensemble.json: {error}; write one with 'study ensemble'") from None
    hashes = [network_hash(run) for run in runs]
    if sorted(hashes) != sorted(weights):
        members, given = ", ".join(stored["runs"]), ", ".join(map(str, runs))
        raise RunError(f"{chosen} has weights of {members}, not {given}: name the same runs")
    return [weights[name] for name in hashes], temperature
