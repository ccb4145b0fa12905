"""Example images for the report.

They show the results of the float32 and the int8 network on the golden inputs.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..models.bundle import Bundle
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.detector import Detector

COLOURS = {"fp32": (90, 220, 90), "int8": (250, 160, 40)}
"""RGB colour of each variant's boxes."""

Examples = list[tuple[np.ndarray, str]]
"""Images (H, W, 3) uint8 RGB, each with its caption."""


def draw_examples(bundle: Bundle) -> Examples:
    """Return the golden inputs with the results drawn into them, and captions."""
    images = bundle.golden()["inputs"]
    names = [name for name in COLOURS if name in bundle.variants]
    return _classified(bundle, names, images) if bundle.task == "classify" else _boxed(bundle, names, images)


def _classified(bundle: Bundle, names: list[str], images: np.ndarray) -> Examples:
    probabilities = {name: Classifier(bundle, name).probabilities(images) for name in names}
    examples = []
    for index, image in enumerate(images):
        rows = [(name, probabilities[name][index]) for name in names]
        caption = "; ".join(f"{name}: {bundle.classes[row.argmax()]} {row.max():.2f}" for name, row in rows)
        examples.append((image, caption))
    return examples


def _boxed(bundle: Bundle, names: list[str], images: np.ndarray) -> Examples:
    detectors = {name: Detector(bundle, name) for name in names}
    examples = []
    for image in images:
        drawn, counts = image.copy(), []
        for name, detector in detectors.items():
            detections = detector(image)
            counts.append(f"{name}: {len(detections)} boxes")
            for x0, y0, x1, y1 in detections.boxes.round().astype(int).tolist():
                cv2.rectangle(drawn, (x0, y0), (x1, y1), COLOURS[name], 1)
        examples.append((drawn, "; ".join(counts)))
    return examples
