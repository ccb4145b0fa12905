"""Gates: what an export must prove before a bundle is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..models.bundle import Bundle
from ..models.metrics import DetectionTruth, JudgedFrame, detection_metrics, operating_threshold
from ..runtime.classify import Classifier
from ..runtime.detect import Detector
from ..runtime.judge import LOWEST_SCORE, classifier_metrics, detections_of
from .baselines import centre_box, extended_sources
from .convert import ExportError, float_tensors, input_is_raw

MAX_ACCURACY_DROP = 0.01
MAX_MAP50_DROP = 0.01
MIN_PRECISION, MAX_FALSE_ALARMS = 0.9, 0.1
"""The operating threshold has the best F1 at this precision and so many false positives a frame without galaxies."""

PART_KEYS = ("map50", "map", "fp_per_frame", "frames", "boxes")
"""What is recorded of each part of the evaluation share."""


@dataclass(frozen=True)
class Gate:
    """One check: its name, what was measured, and whether it passed."""

    name: str
    measured: str
    passed: bool


def is_int8(content: bytes) -> Gate:
    """Check that no tensor inside is float, and that raw uint8 pixels go in."""
    floats = float_tensors(content)
    if floats:
        return Gate("really int8", f"{len(floats)} float tensors, e.g. {floats[0]}", False)
    if not input_is_raw(content):
        return Gate("really int8", "the input is not raw uint8 with scale 1", False)
    return Gate("really int8", "no float tensor; raw uint8 in", True)


def measure(bundle: Bundle, evaluation: Path) -> tuple[dict[str, dict[str, Any]], float | None]:
    """Measure every variant of a bundle on the run's evaluation share, through the runtime's own engine.

    Returns:
        Metrics by variant, and for a detector the operating threshold, chosen for int8 on these pictures.
    """
    try:
        with np.load(evaluation, allow_pickle=False) as arrays:
            data = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as problem:
        raise ExportError(f"{evaluation} cannot be read: {problem}") from None
    if bundle.task == "classify":
        pictures = [(image, None, int(label)) for image, label in zip(data["images"], data["labels"], strict=True)]
        return {name: classifier_metrics(Classifier(bundle, name), pictures)[0] for name in bundle.variants}, None
    return _measure_detector(bundle, data)


def _measure_detector(bundle: Bundle, data: dict[str, np.ndarray]) -> tuple[dict[str, dict[str, Any]], float]:
    truths = _truths(data)
    judged: dict[str, list[JudgedFrame]] = {
        name: detections_of(Detector(bundle, name, min_score=LOWEST_SCORE), zip(data["images"], truths, strict=True))
        for name in bundle.variants
    }
    # One number chosen on some five hundred pictures: half of them choose worse, and all of them flatter it little.
    threshold = operating_threshold(judged["int8"], MIN_PRECISION, MAX_FALSE_ALARMS)
    baselines = {"centre_box": centre_box(data["images"], data["boxes"]), "sep": extended_sources(data["images"])}
    for name, found in baselines.items():
        judged[name] = [(truth, *one) for truth, one in zip(truths, found, strict=True)]
    metrics = {}
    for name, frames in judged.items():
        metrics[name] = _judge(frames, threshold, name in baselines)
        metrics[name]["sets"] = {}
        for part in sorted(set(data["set"].tolist())):
            of_part = [frame for frame, of in zip(frames, data["set"], strict=True) if of == part]
            brief = _judge(of_part, threshold, name in baselines)
            metrics[name]["sets"][part] = {key: brief[key] for key in PART_KEYS}
    return metrics, threshold


def _judge(frames: list[JudgedFrame], threshold: float, baseline: bool) -> dict[str, Any]:
    metrics = detection_metrics(frames, threshold)
    if baseline:  # its scores are no probabilities: the network's threshold means nothing to them
        metrics |= dict.fromkeys(("precision", "recall", "fp_per_frame"))
    return metrics


def _truths(data: dict[str, np.ndarray]) -> list[DetectionTruth]:
    return [
        DetectionTruth(
            data["boxes"][data["box_frame"] == number], data["ignore"][data["ignore_frame"] == number],
            bool(data["complete"][number]), bool(data["negative"][number]),
        )
        for number in range(len(data["images"]))
    ]


def accuracy_kept(task: str, metrics: dict[str, dict[str, Any]]) -> Gate:
    """Compare int8 with float32: accuracy may drop by 1 point, mAP@0.5 by 0.01."""
    key, most = ("accuracy", MAX_ACCURACY_DROP) if task == "classify" else ("map50", MAX_MAP50_DROP)
    before, after = metrics["fp32"][key], metrics["int8"][key]
    if before is None or after is None:
        return Gate(f"{key} kept", "there is nothing in the evaluation share to measure it on", False)
    return Gate(f"{key} kept", f"{before:.4f} float32, {after:.4f} int8, at most {most} less", before - after <= most)
