"""Example pictures for the report: what the float and the int8 network make of the golden inputs."""

from __future__ import annotations

import cv2
import numpy as np

from ..models.bundle import Bundle
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.detector import Detector

COLOURS = {"fp32": (90, 220, 90), "int8": (250, 160, 40)}
"""Of boxes, RGB."""


def draw_examples(bundle: Bundle) -> list[tuple[np.ndarray, str]]:
    """Return (H, W, 3) uint8 pictures with what was found in them, and a caption of each."""
    pictures = bundle.golden()["inputs"]
    names = [name for name in COLOURS if name in bundle.variants]
    return _classified(bundle, names, pictures) if bundle.task == "classify" else _boxed(bundle, names, pictures)


def _classified(bundle: Bundle, names: list[str], pictures: np.ndarray) -> list[tuple[np.ndarray, str]]:
    found = {name: Classifier(bundle, name).probabilities(pictures) for name in names}
    told = []
    for number, picture in enumerate(pictures):
        best = [(name, found[name][number]) for name in names]
        told.append((picture, "; ".join(f"{name}: {bundle.classes[p.argmax()]} {p.max():.2f}" for name, p in best)))
    return told


def _boxed(bundle: Bundle, names: list[str], pictures: np.ndarray) -> list[tuple[np.ndarray, str]]:
    detectors = {name: Detector(bundle, name) for name in names}
    told = []
    for picture in pictures:
        drawn, counts = picture.copy(), []
        for name, detector in detectors.items():
            found = detector(picture)
            counts.append(f"{name}: {len(found)} boxes")
            for x0, y0, x1, y1 in found.boxes.round().astype(int).tolist():
                cv2.rectangle(drawn, (x0, y0), (x1, y1), COLOURS[name], 1)
        told.append((drawn, "; ".join(counts)))
    return told
