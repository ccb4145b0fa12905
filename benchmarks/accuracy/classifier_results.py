"""Evaluate the networks of the classification study on the test part.

It is done once, and the results are saved.

Each result is one file ``NAME-seedN.json`` in the folder of results; `results_page` writes a page from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.bundle import Bundle
from ...models.classification_metrics import chance_calibration_error, classification_intervals, classification_metrics
from ...models.labels import EXCLUDED_LABEL, GALAXY10
from ...models.levels import normalise_levels
from ...runtime.inference.classifier import Classifier
from ...training.classifier.dataset import GalaxyDataset
from ...training.classifier.dataset_files import load_dataset
from ...training.classifier.last_layer import TRAINED_LAYER
from ...training.classifier.partition import DatasetSplit, split_dataset
from ...training.data.catalogues import detect_layout, find_set_folders, read_catalogue
from ...training.data.expert_intervals import plausible_classes
from ...training.run import RunError, RunRecord, read_record, write_json
from ...training.study.ensembles import calibrated
from ...training.study.paired_difference import macro_f1_difference
from ...training.study.runs import probabilities_of
from ...training.study.significance import class_rates, class_scores
from .records.classification import RefitGain, Scores, SourceScores, StudyResult, encode_labels
from .records.evaluation import ExpertCounts
from .records.reading import read_result

RECIPE_KEYS = ("network", "size", "spec", "balance", "views", "epochs", "taught")
"""Settings of a run that a result keeps, so that results of other recipes are not averaged."""


def _normalise_levels(images: np.ndarray) -> np.ndarray:
    return np.stack([normalise_levels(image) for image in images])


def scores(
    probabilities: np.ndarray, dataset: GalaxyDataset, plausible: Mapping[str, frozenset[str]] | None = None
) -> Scores:
    """Measure the probabilities (N, C) of a labelled data set.

    Args:
        plausible: hash of an image -> classes within the experts' intervals, of the images that have any.

    Returns:
        The metrics of all images with their intervals, those of each class and of each source; and, where there are
        plausible classes, how many classes are right or within the experts' intervals.
    """
    sources = np.array(dataset.sources)

    def measure(indices: np.ndarray) -> SourceScores:
        metrics = classification_metrics(probabilities[indices], dataset.labels[indices], dataset.classes)
        return SourceScores(**vars(metrics), intervals=classification_intervals(metrics.confusion, dataset.classes))

    return Scores(
        **vars(measure(np.arange(len(dataset)))),
        ece_by_chance=chance_calibration_error(probabilities),
        classes=class_scores(probabilities, dataset.labels, dataset.classes),
        within_experts=within_experts(probabilities, dataset, plausible) if plausible else None,
        sets={name: measure(np.flatnonzero(sources == name)) for name in sorted(set(dataset.sources))},
    )


def within_experts(
    probabilities: np.ndarray, dataset: GalaxyDataset, plausible: Mapping[str, frozenset[str]]
) -> ExpertCounts:
    """Count the classes (N, C) that are right or within experts' intervals.

    See `scores`.
    """
    found = [
        (dataset.classes[best], dataset.classes[label], plausible[image_id])
        for best, label, image_id in zip(probabilities.argmax(axis=1), dataset.labels, dataset.ids, strict=True)
        if image_id in plausible
    ]
    right = sum(name == label for name, label, _ in found)
    within = sum(name == label or name in classes for name, label, classes in found)
    return ExpertCounts(len(found), right, within)


def expert_intervals(data: Path) -> dict[str, frozenset[str]]:
    """Return the plausible classes of the images of EFIGI, by the hash of the image.

    Empty where there are none.

    Args:
        data: see `dataset_files.load_dataset`; a Galaxy10 file and folders of classes have no such intervals.
    """
    folders = find_set_folders(data) if data.is_dir() else []
    samples = [sample for folder in folders if detect_layout(folder) == "efigi" for sample in read_catalogue(folder)]
    return {sample.digest(): plausible_classes(sample.row) for sample in samples if "Arm_Curvature_sup" in sample.row}


def test_part(run: Path, data: Path, split_seed: int) -> DatasetSplit:
    """Split a data set as for a run and check that the run was trained on this split.

    Raises:
        RunError: the run is not finished, or was trained on another split.
    """
    record = read_record(run, "classify")
    if not record.is_finished:
        raise RunError(f"{run} is not finished: it cannot be evaluated")
    settings = record.settings
    keep_boxy = GALAXY10[EXCLUDED_LABEL] in record.model["classes"]
    parts = split_dataset(load_dataset(data, settings["margin"], keep_boxy, unnamed=True), split_seed)
    if record.data["split"].get("hash") != parts.record["hash"]:
        raise RunError(f"{run} was trained on another split of {data}: it may have been trained on the test part")
    return parts


# Long because all variants of a run are measured on the same images, loaded once.
def evaluate_on_test(
    name: str,
    runs: Sequence[Path],
    weights: Sequence[float],
    data: Path,
    results: Path,
    *,
    temperature: float = 1.0,
    bundle: Path | None = None,
    split_seed: int = 1,
) -> StudyResult:
    """Evaluate a run, or a weighted average of several, on the test part.

    The result is saved.

    The images are measured unchanged and with normalised levels.

    Args:
        name: name of the result.
        runs: run folders of one split; the result has the seed of the first.
        weights: weights of the runs, with a sum of 1.
        data: see `dataset_files.load_dataset`.
        results: folder for ``NAME-seedN.json``; it is created if missing.
        temperature: temperature of the average, see `ensembles.ensemble_temperature`.
        bundle: bundle of the run, whose int8 variant is evaluated too, by the runtime.
        split_seed: seed of the split.

    Raises:
        RunError: a run is not finished, has other classes than the first, or was trained on another split; or the
            bundle is not the run's.
    """
    test = test_part(runs[0], data, split_seed).test
    records = [read_record(run, "classify") for run in runs]
    plausible = expert_intervals(data)
    _check_same_split(runs, records)
    measured: dict[str, Scores] = {}
    predicted: dict[str, str] = {}
    refit: RefitGain | None = None
    for kind, change in (("float", None), ("float_levelled", _normalise_levels)):
        total = np.zeros((len(test), len(test.classes)))
        for weight, run in zip(weights, runs, strict=True):
            total += weight * probabilities_of(run, test, change)
        if kind == "float" and len(runs) == 1 and (runs[0] / TRAINED_LAYER).is_file():
            refit = refit_gain(runs[0], test, total)
        if kind == "float":
            predicted[kind] = encode_labels(total.argmax(axis=1))
        measured[kind] = scores(total if temperature == 1.0 else calibrated(total, temperature), test, plausible)
    if bundle:
        exported = Bundle.load(bundle, "classify")
        _check_bundle(exported, bundle, runs, records[0])
        classifier = Classifier(exported, "int8")
        images = test.images(records[0].model["input"]["width"])
        probabilities = classifier.doubted_probabilities(images)
        predicted["int8"] = encode_labels(probabilities.argmax(axis=1))
        measured["int8"] = scores(probabilities, test, plausible)
        measured["int8_levelled"] = scores(classifier.doubted_probabilities(_normalise_levels(images)), test, plausible)
    result = StudyResult(
        name=name,
        seed=records[0].settings["seed"],
        split=records[0].data["split"]["hash"],
        images=len(test),
        recipes=[_recipe(record.settings) for record in records],
        weights=list(weights),
        temperature=temperature,
        parameters=sum(record.model["parameters"] for record in records),
        macs=sum(record.model["macs"] for record in records),
        scores=measured,
        int8_bytes=(bundle / "int8.tflite").stat().st_size if bundle else None,
        refit=refit,
        labels=encode_labels(test.labels),
        predicted=predicted,
    )
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / f"{name}-seed{result.seed}.json", result.to_dict())
    return result


def _recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that a result keeps."""
    votes = {"votes": True} if settings.get("votes") else {}  # as in results before there was this setting
    return {key: settings[key] for key in RECIPE_KEYS if key in settings} | votes


def refit_gain(run: Path, dataset: GalaxyDataset, refitted: np.ndarray) -> RefitGain:
    """Measure what the refit of a run's last layer changed.

    Args:
        refitted: probabilities (N, C) of the run's network.

    Raises:
        RunError: the layer before the refit cannot be read.
    """
    labels, classes = dataset.labels, len(dataset.classes)
    before = probabilities_of(run, dataset, before_refit=True).argmax(axis=1)
    after = refitted.argmax(axis=1)
    _, low, high = macro_f1_difference(before, after, labels, classes)
    first, second = (float(class_rates(found, labels, classes)[2].mean()) for found in (before, after))
    return RefitGain(before=first, after=second, low=low, high=high)


def _check_bundle(bundle: Bundle, path: Path, runs: Sequence[Path], record: RunRecord) -> None:
    """Raise a RunError unless a bundle can be the export of the only run."""
    if len(runs) > 1:
        raise RunError("--bundle is the export of one run: it cannot be evaluated with several")
    manifest = bundle.manifest
    exported = manifest.data.split.get("hash"), manifest.created, manifest.network.parameters
    if exported != (record.data["split"].get("hash"), record.finished, record.model["parameters"]):
        raise RunError(
            f"{path} was not exported from {runs[0]} as it is now: its split, its network, or the time when its "
            "training ended is another one; export the run again"
        )


def _check_same_split(runs: Sequence[Path], records: Sequence[RunRecord]) -> None:
    """Raise a RunError unless all runs are finished and belong together.

    They must have the split and the classes of the first.
    """
    for run, record in zip(runs, records, strict=True):
        if not record.is_finished:
            raise RunError(f"{run} is not finished: it cannot be evaluated")
        if record.data["split"].get("hash") != records[0].data["split"]["hash"]:
            raise RunError(
                f"{run} was trained on another split than {runs[0]}: it may have been trained on the test part"
            )
        if record.model["classes"] != records[0].model["classes"]:
            raise RunError(f"{run} has other classes than {runs[0]}: they cannot be averaged")


def _is_same_network(one: StudyResult, other: StudyResult) -> bool:
    """Return whether two results can be seeds of one row.

    Settings are compared that both have recorded.
    """
    if (one.parameters, one.macs, len(one.weights)) != (other.parameters, other.macs, len(other.weights)):
        return False
    if one.recipes is None or other.recipes is None:
        return one.recipes == other.recipes
    return all(
        first.get("votes") == second.get("votes") and all(first[key] == second[key] for key in first.keys() & second)
        for first, second in zip(one.recipes, other.recipes, strict=True)
    )


def read_results(results: Path) -> dict[str, list[StudyResult]]:
    """Read the saved results: name -> one result for each seed.

    Raises:
        RunError: a file is damaged, or the results do not belong together: they are of different splits, or those of
            one name are of different recipes.
    """
    found: dict[str, list[StudyResult]] = {}
    first: tuple[Path, StudyResult] | None = None
    for path in sorted(results.glob("*-seed*.json")):
        result = read_result(path, StudyResult, "study evaluate")
        if path.name != f"{result.name}-seed{result.seed}.json":
            raise RunError(
                f"{path} holds '{result.name}' of seed {result.seed}, which {result.name}-seed{result.seed}.json "
                "should hold: a copy would count twice; move it elsewhere"
            )
        group = found.setdefault(result.name, [])
        first = first or (path, result)
        if result.split != first[1].split:
            raise RunError(
                f"{path} is of another split than {first[0]}: evaluate both runs on one split, or name another "
                "--results"
            )
        if group and not _is_same_network(result, group[0]):
            raise RunError(
                f"{path} is of another recipe than '{result.name}' of seed {group[0].seed}, "
                "and the two cannot be averaged: evaluate one of them under another name"
            )
        group.append(result)
    return found
