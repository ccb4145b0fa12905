"""Ensembles of finished runs: weights found on the validation part, never on the test part (report section 2.9.1)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ..classifier.calibration import fit_temperature
from ..run import RunError, network_hash, read_record, write_json
from .ensemble_weights import blend, find_weights

TINY = 1e-9
"""Added to a probability before its logarithm is taken."""


def find_ensemble(runs: Sequence[Path], out: Path) -> dict[str, Any]:
    """Weigh finished runs of one split, by their macro F1 together on the validation part, and write ``ensemble.json``.

    Returns:
        runs, hashes of their networks, weights, temperature, and the metrics on validation, of each alone and of all
        together.

    Raises:
        RunError: there are fewer than two runs, one is not finished, or they are not of the same validation pictures.
    """
    if len(runs) < 2:
        raise RunError("an ensemble needs two runs or more")
    records = [read_record(run) for run in runs]
    for run, record in zip(runs, records, strict=True):
        if not record.is_finished:
            raise RunError(f"{run} is not finished: it cannot be weighed")
    kept = [(record, np.load(run / "predictions.npz")) for run, record in zip(runs, records, strict=True)]
    first = kept[0][1]
    for run, (record, predictions) in zip(runs, kept, strict=True):
        if not np.array_equal(predictions["ids"], first["ids"]):
            raise RunError(f"{run} was validated on other pictures than {runs[0]}: train both on one split")
        if record.model["classes"] != kept[0][0].model["classes"]:
            raise RunError(f"{run} names other classes than {runs[0]}")
    labels, classes = first["labels"], kept[0][0].model["classes"]
    each = [softmax(one["logits"], record.model["decode"]["temperature"]) for record, one in kept]
    weights = find_weights(each, labels)
    together = blend(each, weights)
    temperature = fit_temperature(np.log(together + TINY), labels)
    result = {
        "runs": [str(run) for run in runs],
        "networks": [network_hash(run) for run in runs],
        "weights": [float(weight) for weight in weights],
        "temperature": temperature,
        "alone": [classification_metrics(one, labels, classes) for one in each],
        "together": classification_metrics(calibrated(together, temperature), labels, classes),
        "ece_before": classification_metrics(together, labels, classes)["ece"],
        "chosen_on": "validation",
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "ensemble.json", result)
    return result


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Bring averaged probabilities (N, C) to a temperature: an average of opinions is less sure than each of them."""
    return softmax(np.log(probabilities + TINY), temperature)


def read_ensemble(chosen: Path | None, runs: Sequence[Path]) -> tuple[list[float], float]:
    """Read the weights of runs and their temperature together from an ``ensemble.json``; without it equal ones and 1.

    Returns:
        The weights in the order of `runs`, whatever their order was when they were weighed, and the temperature.

    Raises:
        RunError: the file is none, or weighs other runs.
    """
    if chosen is None:
        return [1 / len(runs)] * len(runs), 1.0
    try:
        stored = json.loads(chosen.read_text(encoding="utf-8"))
        weights = {name: float(one) for name, one in zip(stored["networks"], stored["weights"], strict=True)}
        temperature = float(stored["temperature"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{chosen} is no ensemble.json: {problem}; write one with 'study ensemble'") from None
    wanted = [network_hash(run) for run in runs]
    if sorted(wanted) != sorted(weights):
        weighed, given = ", ".join(stored["runs"]), ", ".join(map(str, runs))
        raise RunError(f"{chosen} weighs {weighed}, not {given}: name the same runs")
    return [weights[name] for name in wanted], temperature
