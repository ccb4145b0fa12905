"""Judge the networks of the classification study on the test part, once, and write what came out as tables.

``training/results/NAME-seedN.json`` keeps each verdict, ``training/RESULTS.md`` is written from them: no figure there
is typed in, and a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.bundle import Bundle
from ...models.classification_metrics import classification_metrics
from ...models.labels import EXCLUDED_LABEL, GALAXY10
from ...models.levels import normalise_levels
from ...runtime.inference.classifier import Classifier
from ...training.classifier.calibration import expected_calibration_error
from ...training.classifier.dataset import GalaxyDataset
from ...training.classifier.dataset_files import load_dataset
from ...training.classifier.partition import DatasetSplit, split_dataset
from ...training.run import RunError, read_record, write_json
from ...training.study.ensembles import calibrated
from ...training.study.runs import probabilities_of

RESULTS = Path(__file__).parents[2] / "training" / "results"
PAGE = RESULTS.parent / "RESULTS.md"


def _levelled(images: np.ndarray) -> np.ndarray:
    return np.stack([normalise_levels(image) for image in images])


def scores(probabilities: np.ndarray, pictures: GalaxyDataset) -> dict[str, Any]:
    """Measure probabilities (N, C) of labelled pictures: all, and each source in ``sets``; without the matrix.

    Beside ``ece`` stands ``ece_by_chance``, what perfect probabilities would show on as many pictures.
    """
    origin = np.array(pictures.sources)

    def measure(chosen: np.ndarray) -> dict[str, Any]:
        metrics = classification_metrics(probabilities[chosen], pictures.labels[chosen], pictures.classes)
        metrics.pop("confusion")
        return metrics

    found = measure(np.arange(len(pictures)))
    found["ece_by_chance"] = expected_calibration_error(probabilities)
    return found | {"sets": {name: measure(np.flatnonzero(origin == name)) for name in sorted(set(pictures.sources))}}


def test_part(run: Path, data: Path, split_seed: int) -> DatasetSplit:
    """Part a data set as a run's was, and check that it is the same split.

    Raises:
        RunError: it is not.
    """
    record = read_record(run)
    if not record.is_finished:
        raise RunError(f"{run} is not finished: it cannot be judged")
    settings = record.settings
    keep_boxy = GALAXY10[EXCLUDED_LABEL] in record.model["classes"]
    parts = split_dataset(load_dataset(data, settings["margin"], keep_boxy, unnamed=True), split_seed)
    if record.data["split"].get("hash") != parts.record["hash"]:
        raise RunError(f"{run} was trained on another split of {data}: it may have seen the test part")
    return parts


def judge(
    name: str,
    runs: Sequence[Path],
    weights: Sequence[float],
    data: Path,
    *,
    temperature: float = 1.0,
    bundle: Path | None = None,
    split_seed: int = 1,
    results: Path = RESULTS,
) -> dict[str, Any]:
    """Judge a run, or the weighted average of several, on the test part, as it is and levelled, and keep the verdict.

    Args:
        weights: of the runs, adding up to 1; temperature: of their average, see `ensembles.read_ensemble`.
        bundle: of the run: its int8 variant is judged too, through the runtime.
    """
    test = test_part(runs[0], data, split_seed).test
    records = [read_record(run) for run in runs]
    verdict: dict[str, Any] = {
        "name": name,
        "seed": records[0].settings["seed"],
        "split": records[0].data["split"]["hash"],
        "images": len(test),
        "weights": list(weights),
        "temperature": temperature,
        "parameters": sum(record.model["parameters"] for record in records),
        "macs": sum(record.model["macs"] for record in records),
    }
    for kind, change in (("float", None), ("float_levelled", _levelled)):
        total = np.zeros((len(test), len(test.classes)))
        for weight, run in zip(weights, runs, strict=True):
            total += weight * probabilities_of(run, test, change)
        verdict[kind] = scores(total if temperature == 1.0 else calibrated(total, temperature), test)
    if bundle:
        classifier = Classifier(Bundle.load(bundle, "classify"), "int8")
        images = test.images(records[0].model["input"]["width"])
        verdict["int8_bytes"] = (bundle / "int8.tflite").stat().st_size
        verdict["int8"] = scores(classifier.probabilities(images), test)
        verdict["int8_levelled"] = scores(classifier.probabilities(_levelled(images)), test)
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / f"{name}-seed{verdict['seed']}.json", verdict)
    return verdict


def verdicts(results: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """Read the verdicts that are kept, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(results.glob("*-seed*.json")):
        verdict = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(verdict["name"], []).append(verdict)
    return found
