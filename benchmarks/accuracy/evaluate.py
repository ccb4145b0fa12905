"""`galaxy-edge eval`: a bundle on labelled pictures, situation by situation, beside what means nothing to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from ...training.data.sample import DataError, Sample, is_held_out, read_set
from ...training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScene, EvaluationScenes
from .curves import curves

Progress = Callable[[int, int], None]

SYNTHETIC_SITUATIONS = (OFF_CENTRE, COMPOSED)
"""Situations that are made from real frames; they do not count among all of them."""


def held_out_samples(samples: Sequence[Sample], bundles: Sequence[Bundle], folder: Path) -> list[Sample]:
    """Keep the pictures that no bundle was trained on: those of sets it did not use, and of its own held-out share.

    Args:
        folder: where the samples were read from; a classifier's pictures are parted there once more, as it was taught.

    Raises:
        DataError: a bundle does not say how its data were split, or its classifier's are others than those in `folder`,
            or nothing is left.
    """
    kept = list(samples)
    for bundle in bundles:
        data = bundle.manifest["data"]
        split = data.get("split", {})
        if "seed" in split and split.keys() & {"folds", "test_share", "validation_share"}:
            kept = [sample for sample in kept if sample.set not in data["sets"] or is_held_out(split, sample.digest())]
        elif "seed" in split and "hash" in split:
            taught = (
                _training_hashes(bundle, split, folder) if any(sample.set in data["sets"] for sample in kept) else set()
            )
            kept = [sample for sample in kept if sample.set not in data["sets"] or sample.digest() not in taught]
        else:
            raise DataError(f"the bundle {bundle.name} does not say which pictures it was not trained on")
    if not kept:
        raise DataError("every picture there may have been trained on")
    return kept


def _training_hashes(bundle: Bundle, split: dict[str, Any], folder: Path) -> set[str]:
    """Tell what a classifier was trained on, by hash: where its duplicates went only parting all pictures can tell."""
    from ...training.classifier.dataset_files import load_dataset
    from ...training.classifier.partition import split_dataset

    margin, boxy = bundle.manifest["preprocess"]["margin"], GALAXY10[EXCLUDED_LABEL] in bundle.classes
    parts = split_dataset(load_dataset(folder, margin, boxy, unnamed=True), split["seed"])
    if parts.record["hash"] != split["hash"]:
        raise DataError(
            f"{folder} holds other pictures than the bundle {bundle.name} was made of: it cannot be told "
            "which of them it was not trained on"
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
    only_unseen: bool = False,
    seed: int = 1,
) -> dict[str, Any]:
    """Measure a detector in every situation that the frames of a data set allow, see `training.situations`.

    Boxes are the unified ones; difficult ones are ignored. In frames where only some galaxies are boxed (Galaxy Zoo:
    the central one), neighbours are ignored, and so is what is found with its centre outside every box.

    Args:
        only_unseen: leave out what the bundle was trained on.
        seed: of the frames that are composed or cut off centre.

    Returns:
        Of all real frames together: map50, map, ar1, ar10, precision, recall, fp_per_frame (at the bundle's operating
        threshold), frames, boxes. ``situations``: the same of each, with ``sizes`` (`SIZES`, in pixels
        of the input), ``centre_box`` and ``sep`` (the same of these baselines, with all that they find). ``curves``:
        see `curves.curves`, of all real frames. ``threshold``.
    """
    samples = read_set(data)
    if only_unseen:
        samples = held_out_samples(samples, [bundle], data)
    detector = Detector(bundle, variant, engine, threads, min_score=MIN_EVALUATED_SCORE)
    threshold = bundle.manifest["decode"]["score_threshold"]
    views: dict[str, list[EvaluatedScene]] = {}
    everything = EvaluationScenes(samples, bundle.input_size[0], seed)
    for done, view in enumerate(everything):
        progress(done, len(everything))
        views.setdefault(view.situation, []).append(_evaluate_scene(detector, view))
    if not views:
        raise DataError(f"{data} holds no frame with boxes and none that is known to be without galaxies")
    real = [one.frame for name, group in views.items() if name not in SYNTHETIC_SITUATIONS for one in group]
    return {
        **detection_metrics(real, threshold),
        "threshold": threshold,
        "situations": {name: _situation_metrics(group, threshold) for name, group in views.items()},
        "curves": curves(real),
    }


class EvaluatedScene(NamedTuple):
    """What a detector and SEP found in a view of so many pixels a side; the picture itself is let go."""

    frame: EvaluatedFrame
    sep: ScoredBoxes
    side: int


def _evaluate_scene(detector: Detector, view: EvaluationScene) -> EvaluatedScene:
    found = detector(view.scene.image)
    (sources,) = extended_sources(view.scene.image[None])
    return EvaluatedScene((view.truth, found.boxes, found.scores), sources, view.scene.image.shape[0])


def _situation_metrics(group: list[EvaluatedScene], threshold: float) -> dict[str, Any]:
    frames = [one.frame for one in group]
    truths = [truth for truth, _, _ in frames]
    boxes = np.concatenate([truth.boxes for truth in truths])
    constant = centre_box(np.zeros((len(group), group[0].side, group[0].side, 3), np.uint8), boxes)
    baselines = {"centre_box": constant, "sep": [one.sep for one in group]}
    result: dict[str, Any] = detection_metrics(frames, threshold) | {"sizes": precision_by_size(frames)}
    for name, found in baselines.items():
        judged = [(truth, *one) for truth, one in zip(truths, found, strict=True)]
        # Their scores are no probabilities: all that they find is a detection.
        result[name] = detection_metrics(judged, 0.0) | {"sizes": precision_by_size(judged)}
    return result


def evaluate_classifier(
    bundle: Bundle, data: Path, variant: str, engine: str, threads: int, progress: Progress
) -> dict[str, Any]:
    """Measure a classifier on every picture of a set that has one of the nine classes.

    The picture is cropped by its box where it has one, and taken whole otherwise.

    Returns:
        accuracy, macro_f1, coarse_accuracy, recall by class, confusion (rows: truth), ece, images.
    """
    samples = [sample for sample in read_set(data) if sample.label >= 0]
    if not samples:
        raise DataError(f"{data} holds no picture with a Galaxy10 class")
    classifier = Classifier(bundle, variant, engine, threads)
    place = {name: classifier.classes.index(name) for name in CLASSES}

    def pictures() -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            box = sample.boxes[0] if len(sample.boxes) else None
            yield sample.load(), box, place[CLASSES[sample.label]]

    return classifier_metrics(classifier, pictures())[0]
