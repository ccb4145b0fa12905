"""`galaxy-edge eval`: measure a bundle on labelled images.

It is measured in every situation, next to baselines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...export.baselines import ScoredBoxes, baseline_threshold, centre_box, extended_sources
from ...export.tuned_sep import tuned_sources
from ...models.bundle import Bundle
from ...models.classification_metrics import chance_calibration_error, classification_intervals
from ...models.detection_metrics import EvaluatedFrame, detection_intervals, detection_metrics
from ...models.labels import CLASSES, EXCLUDED_LABEL, GALAXY10
from ...models.metrics import DetectionMetrics
from ...runtime.frame import Detections
from ...runtime.imaging.tiling import TileSelector
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector
from ...runtime.inference.evaluation import MIN_EVALUATED_SCORE, class_columns, classifier_metrics
from ...training.data.errors import DataError
from ...training.data.expert_intervals import plausible_classes
from ...training.data.sample import Sample
from ...training.data.splits import is_held_out
from ...training.formats.read_set import read_set
from ...training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScene, EvaluationScenes
from .curves import curves, recall_by_size
from .records.evaluation import ClassifierResult, DetectorResult, ExpertCounts, Intervals, Situation, SizedMetrics

Progress = Callable[[int, int], None]


def held_out_samples(samples: Sequence[Sample], bundles: Sequence[Bundle], folder: Path) -> list[Sample]:
    """Keep the samples that no bundle was trained on.

    They are of other data sets, or of a bundle's own held-out share.

    Args:
        samples: of any data sets.
        bundles: whose training data are excluded.
        folder: where the samples were read from; a classifier's split of it is repeated.

    Raises:
        DataError: a bundle does not record how its data were split, a classifier was trained on other data than
            those in `folder`, or no sample is left.
    """
    from ...training.detector.dataset import is_trainable

    kept = list(samples)
    for bundle in bundles:
        data = bundle.manifest.data
        if bundle.task == "detect":
            kept = [sample for sample in kept if sample.set not in data.sets or is_trainable(sample)]
        split = data.split
        if "seed" in split and split.keys() & {"folds", "test_share", "validation_share"}:
            kept = [sample for sample in kept if sample.set not in data.sets or is_held_out(split, sample.digest())]
        elif "seed" in split and "hash" in split:
            used = any(sample.set in data.sets for sample in kept)
            trained = _training_hashes(bundle, split, folder) if used else set()
            kept = [sample for sample in kept if sample.set not in data.sets or sample.digest() not in trained]
        else:
            raise DataError(f"the bundle {bundle.name} does not record which images it was not trained on")
    if not kept:
        raise DataError("every image there may have been trained on")
    return kept


def _training_hashes(bundle: Bundle, split: Mapping[str, Any], folder: Path) -> set[str]:
    """Return the hashes of a classifier's training images.

    Duplicates are known only after splitting all of them.
    """
    from ...training.classifier.dataset_files import load_dataset
    from ...training.classifier.partition import split_dataset

    margin, boxy = bundle.manifest.preprocess.margin, GALAXY10[EXCLUDED_LABEL] in bundle.classes
    parts = split_dataset(load_dataset(folder, margin, boxy, unnamed=True), split["seed"])
    if parts.record["hash"] != split["hash"]:
        raise DataError(
            f"{folder} holds other images than those the bundle {bundle.name} was trained on: "
            "the images it was not trained on cannot be determined"
        )
    return set(parts.train.ids)


def evaluate_detector(
    bundle: Bundle,
    data: Path,
    variant: str,
    engine: str,
    threads: int,
    progress: Progress,
    *,
    held_out: bool = False,
    seed: int = 1,
    tiles: str = "off",  # Many parameters because they are those of the command.
) -> DetectorResult:
    """Measure a detector in every situation that a data set allows.

    For the situations see `training.scenes.evaluation_scenes`.

    Boxes are the unified ones; difficult ones are ignored. In frames where only some galaxies are boxed (Galaxy Zoo:
    the central one), neighbours and detections with their centre outside every box are ignored.

    Args:
        held_out: exclude the samples that the bundle was trained on. The frames of its data sets are then those of its
            run's own evaluation, and precision, recall and false detections are of the half of them on which its
            operating threshold was not chosen.
        seed: of the composed and off-centre scenes.
        tiles: ``off``, ``auto`` or columns x rows, of each scene in addition to the whole, as in a run.

    Returns:
        The metrics. Where a frame has several galaxies, ar1 is None: one detection cannot find them.
    """
    options: dict[str, Any] = {"held_out": held_out, "seed": seed, "tiles": tiles}
    return evaluate_variants(bundle, data, (variant,), engine, threads, progress, **options)[variant]


def evaluate_variants(
    bundle: Bundle,
    data: Path,
    variants: Sequence[str],
    engine: str,
    threads: int,
    progress: Progress,
    *,
    held_out: bool = False,
    seed: int = 1,
    tiles: str = "off",  # Many parameters because they are those of the command.
) -> dict[str, DetectorResult]:
    """Measure several variants of a detector on the same scenes.

    Returns the result of `evaluate_detector` by variant.
    """
    samples = read_set(data, stretch=bundle.stretch)
    own = set(bundle.manifest.data.sets) if held_out else set()
    if held_out:
        samples = held_out_samples(samples, [bundle], data)
    detectors = [Detector(bundle, name, engine, threads, min_score=MIN_EVALUATED_SCORE) for name in variants]
    selector = TileSelector(tiles)
    evaluated: dict[str, list[EvaluatedScene]] = {}
    # Separately, so that the scenes of the bundle's own sets are those of its run whatever else there is.
    shares = [[sample for sample in samples if (sample.set in own) == of_run] for of_run in (True, False)]
    # Of other sets, frames as they are: crops and composed scenes are made of the bundle's own where it has any.
    as_they_are = {OFF_CENTRE: 0, COMPOSED: 0} if shares[0] else None
    groups = [
        EvaluationScenes(share, bundle.input_size[0], seed, limits)
        for share, limits in zip(shares, (None, as_they_are), strict=True)
    ]
    total, done = sum(map(len, groups)), 0
    for scenes, of_run in zip(groups, (True, False), strict=True):
        for scene in scenes:
            progress(done, total)
            done += 1
            evaluated.setdefault(scene.situation, []).append(_evaluate_scene(detectors, scene, of_run, selector))
    if not evaluated:
        raise DataError(f"{data} holds no frame with boxes and none that is known to be without galaxies")
    threshold = bundle.manifest.detector_decode.score_threshold
    baselines = {name: _baseline_metrics(name, group) for name, group in evaluated.items()}
    results = (_summarise(evaluated, baselines, index, threshold) for index in range(len(variants)))
    swallowed = sum(scenes.swallowed for scenes in groups)
    return {name: replace(result, swallowed=swallowed) for name, result in zip(variants, results, strict=True)}


class EvaluatedScene(NamedTuple):
    """Detections of detectors and of SEP in a scene of `side` pixels.

    ``operating``: whether it is measured at the operating threshold.
    """

    frames: list[EvaluatedFrame]
    sep: ScoredBoxes
    sep_tuned: ScoredBoxes
    side: int
    operating: bool


def _find(detector: Detector, image: np.ndarray, selector: TileSelector) -> Detections:
    """Find galaxies in an image and its tiles, as in a run."""
    stretch = detector.bundle.stretch
    views, found = selector.select(image, min(detector.bundle.input_size), stretch), []
    for number, (x0, y0, x1, y1) in enumerate(views):
        model_input = detector.preprocess(np.ascontiguousarray(image[y0:y1, x0:x1]))
        found.append(detector.decode(detector.infer(model_input), model_input, number > 0))
    return detector.fuse(image, views, found, stretch)


def _evaluate_scene(
    detectors: Sequence[Detector], scene: EvaluationScene, of_run: bool, tiles: TileSelector
) -> EvaluatedScene:
    image, truth = scene.scene.image, scene.truth
    every = [_find(detector, image, tiles) for detector in detectors]
    frames = [(truth, found.boxes, found.scores) for found in every]
    (sources,), (tuned,) = extended_sources(image[None]), tuned_sources(image[None])
    return EvaluatedScene(frames, sources, tuned, image.shape[0], not (of_run and scene.selects))


def _summarise(
    evaluated: dict[str, list[EvaluatedScene]],
    baselines: dict[str, dict[str, SizedMetrics]],
    index: int,
    threshold: float,
) -> DetectorResult:
    """Return the result of `evaluate_detector` for the detector of a number.

    Situations made from real frames are not included in its totals.
    """
    real = [scene for name, group in evaluated.items() if name not in (OFF_CENTRE, COMPOSED) for scene in group]
    frames = [scene.frames[index] for scene in real]
    metrics, intervals = _metrics(frames, threshold, [scene.frames[index] for scene in real if scene.operating])
    return DetectorResult(
        **vars(metrics),
        intervals=intervals,
        threshold=threshold,
        situations={name: _situation(group, baselines[name], index, threshold) for name, group in evaluated.items()},
        curves=curves(frames),
    )


def _metrics(
    frames: Sequence[EvaluatedFrame], threshold: float, operating: Sequence[EvaluatedFrame] | None = None
) -> tuple[DetectionMetrics, Intervals]:
    """Return the metrics and their intervals.

    Recall of a single detection is left out where a frame has several galaxies.
    """
    metrics = detection_metrics(frames, threshold, operating)
    intervals = detection_intervals(frames, threshold, operating)
    if any(len(truth.boxes) > 1 for truth, _, _ in frames):
        return replace(metrics, ar1=None), intervals | {"ar1": None}
    return metrics, intervals


def _situation(
    group: list[EvaluatedScene], baselines: dict[str, SizedMetrics], index: int, threshold: float
) -> Situation:
    frames = [scene.frames[index] for scene in group]
    operating = [scene.frames[index] for scene in group if scene.operating]
    metrics, intervals = _metrics(frames, threshold, operating)
    sizes = recall_by_size(operating, threshold, group[0].side)
    return Situation(**vars(metrics), intervals=intervals, sizes=sizes, baselines=baselines)


def _baseline_metrics(name: str, group: list[EvaluatedScene]) -> dict[str, SizedMetrics]:
    """Return the metrics of the baselines in a situation: baseline -> metrics."""
    truths = [scene.frames[0][0] for scene in group]
    boxes = np.concatenate([truth.boxes for truth in truths])
    constant = centre_box(np.zeros((len(group), group[0].side, group[0].side, 3), np.uint8), boxes, name)
    sources, tuned = [scene.sep for scene in group], [scene.sep_tuned for scene in group]
    result = {}
    for title, detections in {"centre_box": constant, "sep": sources, "sep_tuned": tuned}.items():
        baseline = [(truth, *scored_boxes) for truth, scored_boxes in zip(truths, detections, strict=True)]
        operating = [frame for frame, scene in zip(baseline, group, strict=True) if scene.operating]
        threshold = baseline_threshold(title)
        metrics, intervals = _metrics(baseline, threshold, operating)
        sizes = recall_by_size(operating, threshold, group[0].side)
        result[title] = SizedMetrics(**vars(metrics), intervals=intervals, sizes=sizes)
    return result


def evaluate_classifier(
    bundle: Bundle, data: Path, variant: str, engine: str, threads: int, progress: Progress
) -> ClassifierResult:
    """Measure a classifier on every image of a data set with one of the nine classes.

    Images with a box are cropped to it; others are used whole.
    """
    samples = [sample for sample in read_set(data, stretch=bundle.stretch) if sample.label >= 0]
    if not samples:
        raise DataError(f"{data} holds no image with a Galaxy10 class")
    classifier = Classifier(bundle, variant, engine, threads)
    columns = class_columns(classifier)

    def images() -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            box = sample.boxes[0] if len(sample.boxes) else None
            yield sample.load(), box, int(columns[sample.label])

    metrics, probabilities = classifier_metrics(classifier, images())
    rows = [
        (classifier.classes[best], CLASSES[sample.label], plausible_classes(sample.row))
        for best, sample in zip(probabilities.argmax(axis=1), samples, strict=True)
        if "Arm_Curvature_sup" in sample.row
    ]
    right = sum(name == label for name, label, _ in rows)
    within = sum(name == label or name in classes for name, label, classes in rows)
    return ClassifierResult(
        **vars(metrics),
        intervals=classification_intervals(metrics.confusion, classifier.classes),
        ece_by_chance=chance_calibration_error(probabilities),
        within_experts=ExpertCounts(len(rows), right, within) if rows else None,
    )
