"""`galaxy-edge eval`: a bundle on labelled sets, one table or one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..models.bundle import Bundle
from ..models.labels import CLASSES
from ..models.metrics import DetectionTruth, detection_metrics
from ..runtime.classify import Classifier
from ..runtime.detect import Detector
from ..runtime.judge import LOWEST_SCORE, classifier_metrics, detections_of
from ..training.data import DataError, Sample, read_set

Progress = Callable[[int, int], None]


def evaluate_detector(
    bundle: Bundle, data: Path, variant: str, engine: str, threads: int, progress: Progress
) -> dict[str, Any]:
    """Measure a detector on every frame of a set that has boxes or is known to hold no galaxy.

    Boxes are the unified ones; difficult ones are ignored. In frames where only some galaxies are boxed (Galaxy Zoo:
    the central one), what is found with its centre outside every box counts neither way.

    Returns:
        map50, map, ar1, ar10, precision, recall, fp_per_frame (at the bundle's operating threshold), frames, boxes.
    """
    samples = [
        sample for sample in read_set(data) if sample.kind == "negative" or len(sample.boxes) or
        (sample.complete and len(sample.ignore))
    ]
    if not samples:
        raise DataError(f"{data} holds no frame with boxes and none that is known to be without galaxies")
    detector = Detector(bundle, variant, engine, threads, min_score=LOWEST_SCORE)

    def pictures() -> Iterator[tuple[np.ndarray, DetectionTruth]]:
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            yield sample.load(), _truth(sample)

    frames = detections_of(detector, pictures())
    return detection_metrics(frames, bundle.manifest["decode"]["score_threshold"])


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


def _truth(sample: Sample) -> DetectionTruth:
    return DetectionTruth(sample.boxes, sample.ignore, sample.complete, sample.kind == "negative")
