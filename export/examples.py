"""Example images for the report.

They show the truth, and the results of the float32 and the int8 network, on some images of the evaluation share.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..models.bundle import Bundle
from ..models.detection_metrics import FALSE_POSITIVE, TRUE_POSITIVE, match_outcomes, truths_from_arrays
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.detector import Detector
from .calibration_images import pick_evenly

COLOURS = {"fp32": (90, 220, 90), "int8": (250, 160, 40)}
"""RGB colour of each variant's boxes."""
EXAMPLES = 8
TRUTH = (255, 255, 255)
"""RGB colour of the true boxes."""


class Example(NamedTuple):
    """An example.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        lines: the truth, and the result of each variant.
        right: of each variant, the smallest last, whether its result is right.
    """

    image: np.ndarray
    lines: tuple[str, ...]
    right: tuple[bool, ...]

    @property
    def verdict(self) -> str:
        """Whether the result is right, before and after quantisation."""
        words = ["right" if right else "wrong" for right in self.right]
        if len(words) < 2:
            return "".join(words)
        return f"{words[1]} after quantisation" + (f", {words[0]} before" if words[0] != words[1] else "")


Examples = list[Example]


def draw_examples(bundle: Bundle, evaluation: dict[str, np.ndarray]) -> Examples:
    """Return some images with their truth and results.

    `evaluation` is the run's evaluation share, with labels.
    """
    names = [name for name in COLOURS if name in bundle.variants]
    return (_classified if bundle.task == "classify" else _boxed)(bundle, names, evaluation)


def _classified(bundle: Bundle, names: list[str], evaluation: dict[str, np.ndarray]) -> Examples:
    images, labels = (
        pick_evenly(evaluation["images"], EXAMPLES),
        pick_evenly(np.asarray(evaluation["labels"], int), EXAMPLES),
    )
    probabilities = {name: Classifier(bundle, name).probabilities(images) for name in names}
    examples = []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        rows = [probabilities[name][index] for name in names]
        lines = [
            f"{name}: {bundle.classes[row.argmax()]} {row.max():.2f}" for name, row in zip(names, rows, strict=True)
        ]
        right = tuple(bool(row.argmax() == label) for row in rows)
        examples.append(Example(image, (f"truth: {bundle.classes[label]}", *lines), right))
    return examples


def _boxed(bundle: Bundle, names: list[str], evaluation: dict[str, np.ndarray]) -> Examples:
    detectors = {name: Detector(bundle, name) for name in names}
    truths = truths_from_arrays(evaluation)
    examples = []
    for index in pick_evenly(np.arange(len(truths)), EXAMPLES):
        image, truth = evaluation["images"][index], truths[index]
        drawn, total = image.copy(), len(truth.boxes)
        lines, right = [f"truth: {total} galax{'y' if total == 1 else 'ies'} (white)"], []
        _draw_boxes(drawn, truth.boxes, TRUTH)
        for name, detector in detectors.items():
            detections = detector(image)
            _draw_boxes(drawn, detections.boxes, COLOURS[name])
            _, outcomes, _ = match_outcomes([(truth, detections.boxes, detections.scores)])
            found, wrong = int((outcomes == TRUE_POSITIVE).sum()), int((outcomes == FALSE_POSITIVE).sum())
            lines.append(f"{name}: {found} of {total} found, {wrong} false")
            right.append(found == total and not wrong)
        examples.append(Example(drawn, tuple(lines), tuple(right)))
    return examples


def _draw_boxes(image: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int]) -> None:
    for x0, y0, x1, y1 in boxes.round().astype(int).tolist():
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, 1)
