"""Measure a bundle on labelled images, through the same stages as in a run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...models.classification_metrics import classification_metrics
from ...models.detection_metrics import DetectionTruth, EvaluatedFrame
from ...models.labels import CLASSES
from ...models.manifest import BundleError
from ...models.metrics import ClassificationMetrics
from .classifier import Classifier
from .detector import Detector

MIN_EVALUATED_SCORE = 0.01
"""Minimum score of detections that are evaluated; lower ones do not change the average precision measurably."""


def detections_of(detector: Detector, images: Iterable[tuple[np.ndarray, DetectionTruth]]) -> list[EvaluatedFrame]:
    """Run a detector over images (H, W, 3) uint8 with their truth.

    It is to be created with ``min_score=MIN_EVALUATED_SCORE``.

    Returns:
        (truth, boxes, scores) for each image, as `models.detection_metrics.detection_metrics` takes them.
    """
    evaluated = []
    for pixels, truth in images:
        found = detector(pixels)
        evaluated.append((truth, found.boxes, found.scores))
    return evaluated


def class_columns(classifier: Classifier) -> np.ndarray:
    """Return where a classifier has the probability of each of `labels.CLASSES`.

    Raises:
        BundleError: it does not know all of them.
    """
    if missing := [name for name in CLASSES if name not in classifier.classes]:
        raise BundleError(
            f"the classifier does not know {', '.join(missing)}: only one of the {len(CLASSES)} Galaxy10 classes can "
            "be measured on these images"
        )
    return np.array([classifier.classes.index(name) for name in CLASSES])


def classifier_metrics(
    classifier: Classifier, images: Iterable[tuple[np.ndarray, np.ndarray | None, int]]
) -> tuple[ClassificationMetrics, np.ndarray]:
    """Run a classifier over labelled images, or boxes in them.

    An image is (H, W, 3) uint8; its box is (4,), or None for the whole image.

    The probabilities are those that a run reports: doubted where an image is unlike all that the classifier knows.

    Returns:
        The metrics and the (N, C) probabilities.
    """
    labels, rows = [], []
    for pixels, box, label in images:
        if box is None:
            rows.append(classifier.doubted_probabilities(classifier.crop(pixels, None)[None])[0])
        else:
            rows.append(classifier.box_probabilities(pixels, np.asarray(box)[None])[0])
        labels.append(label)
    probabilities = np.stack(rows) if rows else np.zeros((0, len(classifier.classes)), np.float32)
    return classification_metrics(probabilities, np.asarray(labels, np.intp), classifier.classes), probabilities
