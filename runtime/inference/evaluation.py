"""Measure a bundle on labelled pictures, through the same stages that run at the telescope."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...models.metrics import DetectionTruth, EvaluatedFrame, classification_metrics
from .classifier import Classifier
from .detector import Detector

LOWEST_SCORE = 0.01
"""Detections are judged down to this score; below it nothing changes the average precision measurably."""


def detections_of(detector: Detector, pictures: Iterable[tuple[np.ndarray, DetectionTruth]]) -> list[EvaluatedFrame]:
    """Run a detector over pictures (H, W, 3) uint8 with their truth; make it with ``min_score=LOWEST_SCORE``.

    Returns:
        (truth, boxes, scores) a picture, for `models.metrics.detection_metrics`.
    """
    judged = []
    for pixels, truth in pictures:
        found = detector(pixels)
        judged.append((truth, found.boxes, found.scores))
    return judged


def classifier_metrics(
    classifier: Classifier, pictures: Iterable[tuple[np.ndarray, np.ndarray | None, int]]
) -> tuple[dict[str, Any], np.ndarray]:
    """Run a classifier over pictures (H, W, 3) uint8, each with a box (4,) or None for the whole picture, and a label.

    Returns:
        Metrics (see `models.metrics.classification_metrics`) and the (N, C) probabilities.
    """
    labels, rows = [], []
    for pixels, box, label in pictures:
        rows.append(classifier.probabilities(classifier.crop(pixels, box)[None])[0])
        labels.append(label)
    probabilities = np.stack(rows) if rows else np.zeros((0, len(classifier.classes)), np.float32)
    return classification_metrics(probabilities, np.asarray(labels, np.intp), classifier.classes), probabilities
