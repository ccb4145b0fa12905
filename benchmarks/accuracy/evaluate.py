"""`galaxy-edge eval`: measure a bundle on labelled images in every situation, with baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...export.baselines import ScoredBoxes, centre_box, extended_sources
from ...models.bundle import Bundle
from ...models.detection_metrics import EvaluatedFrame, detection_metrics, precision_by_size
from ...models.labels import CLASSES, EXCLUDED_LABEL, GALAXY10
from ...runtime.inference.classifier import Classifier
from ...runtime.inference.detector import Detector
from ...runtime.inference.evaluation import MIN_EVALUATED_SCORE, classifier_metrics
from ...training.data.errors import DataError
from ...training.data.sample import Sample
from ...training.data.splits import is_held_out
from ...training.formats.read_set import read_set
from ...training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScene, EvaluationScenes
from .curves import curves

Progress = Callable[[int, int], None]

SYNTHETIC_SITUATIONS = (OFF_CENTRE, COMPOSED)
"""Situations made from real frames; they are not included in the totals."""


def held_out_samples(samples: Sequence[Sample], bundles: Sequence[Bundle], folder: Path) -> list[Sample]:
    """Keep the samples that no bundle was trained on: of other data sets, and of its own held-out share.

    Args:
        samples: of any data sets.
        bundles: whose training data are excluded.
        folder: where the samples were read from; a classifier's split of it is repeated.

    Raises:
        DataError: a bundle does not record how its data were split, a classifier was trained on other data than
            those in `folder`, or no sample is left.
    """
    kept = list(samples)
    for bundle in bundles:
        data = bundle.manifest.data
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
    """Return the hashes of a classifier's training images; duplicates are known only after splitting all of them."""
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
) -> dict[str, Any]:
    """Measure a detector in every situation that a data set allows, see `training.scenes.evaluation_scenes`.

    Boxes are the unified ones; difficult ones are ignored. In frames where only some galaxies are boxed (Galaxy Zoo:
    the central one), neighbours and detections with their centre outside every box are ignored.

    Args:
        held_out: exclude the samples that the bundle was trained on.
        seed: of the composed and off-centre scenes.

    Returns:
        of all real frames together: map50, map, ar1, ar10, precision, recall, fp_per_frame (at the bundle's operating
        threshold), frames, boxes. ``situations``: the same for each situation, with ``sizes``
        (`models.detection_metrics.SIZES`, in pixels of the input), ``centre_box`` and ``sep`` (the same for these
        baselines, at any score). ``curves``: see `curves.curves`, of all real frames. ``threshold``.
    """
    samples = read_set(data, stretch=bundle.stretch)
    if held_out:
        samples = held_out_samples(samples, [bundle], data)
    detector = Detector(bundle, variant, engine, threads, min_score=MIN_EVALUATED_SCORE)
    threshold = bundle.manifest.detector_decode.score_threshold
    evaluated: dict[str, list[EvaluatedScene]] = {}
    scenes = EvaluationScenes(samples, bundle.input_size[0], seed)
    for done, scene in enumerate(scenes):
        progress(done, len(scenes))
        evaluated.setdefault(scene.situation, []).append(_evaluate_scene(detector, scene))
    if not evaluated:
        raise DataError(f"{data} holds no frame with boxes and none that is known to be without galaxies")
    real = [scene.frame for name, group in evaluated.items() if name not in SYNTHETIC_SITUATIONS for scene in group]
    return {
        **detection_metrics(real, threshold),
        "threshold": threshold,
        "situations": {name: _situation_metrics(group, threshold) for name, group in evaluated.items()},
        "curves": curves(real),
    }


class EvaluatedScene(NamedTuple):
    """Detections of a detector and of SEP in a scene of `side` pixels; the image itself is not kept."""

    frame: EvaluatedFrame
    sep: ScoredBoxes
    side: int


def _evaluate_scene(detector: Detector, scene: EvaluationScene) -> EvaluatedScene:
    image = scene.scene.image
    detections = detector(image)
    (sources,) = extended_sources(image[None])
    return EvaluatedScene((scene.truth, detections.boxes, detections.scores), sources, image.shape[0])


def _situation_metrics(group: list[EvaluatedScene], threshold: float) -> dict[str, Any]:
    frames = [scene.frame for scene in group]
    truths = [truth for truth, _, _ in frames]
    boxes = np.concatenate([truth.boxes for truth in truths])
    constant = centre_box(np.zeros((len(group), group[0].side, group[0].side, 3), np.uint8), boxes)
    baselines = {"centre_box": constant, "sep": [scene.sep for scene in group]}
    result: dict[str, Any] = detection_metrics(frames, threshold) | {"sizes": precision_by_size(frames)}
    for name, detections in baselines.items():
        baseline = [(truth, *scored_boxes) for truth, scored_boxes in zip(truths, detections, strict=True)]
        # Scores of baselines are not probabilities, so every detection counts.
        result[name] = detection_metrics(baseline, 0.0) | {"sizes": precision_by_size(baseline)}
    return result


def evaluate_classifier(
    bundle: Bundle, data: Path, variant: str, engine: str, threads: int, progress: Progress
) -> dict[str, Any]:
    """Measure a classifier on every image of a data set with one of the nine classes.

    Images with a box are cropped to it; others are used whole.

    Returns:
        accuracy, macro_f1, coarse_accuracy, recall by class, confusion (rows: truth), ece and images (their number).
    """
    samples = [sample for sample in read_set(data, stretch=bundle.stretch) if sample.label >= 0]
    if not samples:
        raise DataError(f"{data} holds no image with a Galaxy10 class")
    classifier = Classifier(bundle, variant, engine, threads)
    indices = {name: classifier.classes.index(name) for name in CLASSES}

    def images() -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            box = sample.boxes[0] if len(sample.boxes) else None
            yield sample.load(), box, indices[CLASSES[sample.label]]

    return classifier_metrics(classifier, images())[0]
