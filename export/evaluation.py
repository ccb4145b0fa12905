"""Measure every form of a network on pictures that were never trained on, through the runtime's own engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..devices.engines import engines_for
from ..models.bundle import Bundle
from ..models.decode import iou_matrix
from ..models.metrics import DetectionTruth, EvaluatedFrame, detection_metrics, operating_threshold
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.detector import Detector
from ..runtime.inference.evaluation import MIN_EVALUATED_SCORE, classifier_metrics, detections_of
from .baselines import centre_box, extended_sources

FLOAT_VARIANTS = ("fp32", "onnx_fp32")
MIN_PRECISION, MAX_FALSE_ALARMS, MAX_FALSE_ALARMS_IN_STAR_FIELDS = 0.9, 0.15, 0.05
"""The operating threshold has the best F1 at this precision and so many false positives a frame without galaxies: of
nebulae and clusters, and of nothing but stars."""
STAR_FIELDS = "sdss_starfields"
MATCH_IOU = 0.5

SUBSET_KEYS = ("map50", "map", "fp_per_frame", "frames", "boxes")
"""What is recorded of each part of the evaluation share."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: by variant, and of a detector's baselines.
        agreement: of each variant but the float reference with it, see `agreement`.
        threshold: of a detector, the operating threshold, chosen for int8 on these pictures.
    """

    metrics: dict[str, dict[str, Any]]
    agreement: dict[str, dict[str, Any]] = field(default_factory=dict)
    threshold: float | None = None


def evaluate_bundle(bundle: Bundle, data: dict[str, np.ndarray]) -> Evaluation:
    """Measure every variant that can be run here.

    Args:
        data: a run's evaluation share: ``images`` and ``labels``, or boxes as `training.evaluation` writes them.
    """
    names = [name for name, variant in bundle.variants.items() if engines_for(variant.runtime)]
    if "labels" not in data and "boxes" not in data:
        return _unlabelled(bundle, names, data["images"])
    return _classifier(bundle, names, data) if bundle.task == "classify" else _detector(bundle, names, data)


def _classifier(bundle: Bundle, names: list[str], data: dict[str, np.ndarray]) -> Evaluation:
    pictures = [(image, None, int(label)) for image, label in zip(data["images"], data["labels"], strict=True)]
    judged = {name: classifier_metrics(Classifier(bundle, name), pictures) for name in names}
    first = reference_variant(names)
    return Evaluation(
        {name: metrics for name, (metrics, _) in judged.items()},
        {name: classifier_agreement(judged[first][1], found) for name, (_, found) in judged.items() if name != first},
    )


def classifier_agreement(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Compare probabilities (N, C) of the same pictures: share with the same first class, and how far they differ."""
    apart = np.abs(before - after)
    return {
        "agreement": float(np.mean(before.argmax(axis=1) == after.argmax(axis=1))),
        "mean_difference": float(apart.mean()),
        "max_difference": float(apart.max()),
        "pictures": len(before),
    }


def reference_variant(names: list[str]) -> str:
    """Name the variant that others are measured against: float32, or of a network that came without it the first."""
    return next((name for name in FLOAT_VARIANTS if name in names), names[0])


def _unlabelled(bundle: Bundle, names: list[str], images: np.ndarray) -> Evaluation:
    """Compare detections only: nobody knows what is in the pictures."""
    frames = [(image, DetectionTruth(complete=False)) for image in images]
    judged = {name: detections_of(Detector(bundle, name, min_score=MIN_EVALUATED_SCORE), frames) for name in names}
    first = reference_variant(names)
    threshold = bundle.manifest["decode"]["score_threshold"]
    alike = {
        name: detector_agreement(judged[first], found, threshold) for name, found in judged.items() if name != first
    }
    return Evaluation({}, alike, None)


def _detector(bundle: Bundle, names: list[str], data: dict[str, np.ndarray]) -> Evaluation:
    truths = _truths(data)
    judged: dict[str, list[EvaluatedFrame]] = {
        name: detections_of(
            Detector(bundle, name, min_score=MIN_EVALUATED_SCORE), zip(data["images"], truths, strict=True)
        )
        for name in names
    }
    # One number chosen on some five hundred pictures: half of them choose worse, and all of them flatter it little.
    first = reference_variant(names)
    chosen = judged["int8" if "int8" in judged else first]
    limits = np.where(data["set"] == STAR_FIELDS, MAX_FALSE_ALARMS_IN_STAR_FIELDS, MAX_FALSE_ALARMS)
    threshold = operating_threshold(chosen, MIN_PRECISION, limits.tolist())
    alike = {
        name: detector_agreement(judged[first], frames, threshold) for name, frames in judged.items() if name != first
    }
    baselines = {"centre_box": centre_box(data["images"], data["boxes"]), "sep": extended_sources(data["images"])}
    for name, found in baselines.items():
        judged[name] = [(truth, *one) for truth, one in zip(truths, found, strict=True)]
    metrics = {}
    for name, frames in judged.items():
        metrics[name] = _metrics(frames, threshold, name in baselines)
        metrics[name]["sets"] = {}
        for part in sorted(set(data["set"].tolist())):
            of_part = [frame for frame, of in zip(frames, data["set"], strict=True) if of == part]
            brief = _metrics(of_part, threshold, name in baselines)
            metrics[name]["sets"][part] = {key: brief[key] for key in SUBSET_KEYS}
    return Evaluation(metrics, alike, threshold)


def detector_agreement(before: list[EvaluatedFrame], after: list[EvaluatedFrame], threshold: float) -> dict[str, Any]:
    """Compare detections of the same frames.

    Returns:
        ``boxes``, how many the float network reports; ``matched``, the share of them that the other finds at IoU 0.5
        at whatever score; ``added``, the share of the boxes that the other reports which the float one does not find
        so; ``score_correlation`` of the pairs; mean and largest difference of their scores; mean IoU. None for what is
        not defined.
    """
    pairs: list[tuple[float, float, float]] = []
    boxes, others_boxes, added = 0, 0, 0
    for (_, first, scores), (_, second, others) in zip(before, after, strict=True):
        reported = np.flatnonzero(scores >= threshold)
        boxes += len(reported)
        overlap = iou_matrix(first, second)
        told = np.flatnonzero(others >= threshold)
        others_boxes += len(told)
        added += int((overlap.max(axis=0, initial=0.0)[told] < MATCH_IOU).sum())
        free = np.ones(len(second), bool)
        for number in reported[np.argsort(-scores[reported], kind="stable")]:
            fits = np.where(free, overlap[number], 0.0)
            if len(fits) and fits.max() >= MATCH_IOU:
                best = int(fits.argmax())
                free[best] = False
                pairs.append((float(scores[number]), float(others[best]), float(fits[best])))
    one, other, overlaps = np.asarray(pairs, np.float64).reshape(-1, 3).T
    apart = np.abs(one - other)
    varied = len(one) > 1 and one.std() > 1e-6 and other.std() > 1e-6
    return {
        "boxes": boxes,
        "matched": len(pairs) / boxes if boxes else None,
        "added": added / others_boxes if others_boxes else 0.0,
        "score_correlation": float(np.corrcoef(one, other)[0, 1]) if varied else None,
        "mean_difference": float(apart.mean()) if len(one) else None,
        "max_difference": float(apart.max()) if len(one) else None,
        "mean_iou": float(overlaps.mean()) if len(one) else None,
    }


def _metrics(frames: list[EvaluatedFrame], threshold: float, baseline: bool) -> dict[str, Any]:
    metrics = detection_metrics(frames, threshold)
    if baseline:  # its scores are no probabilities: the network's threshold means nothing to them
        metrics |= dict.fromkeys(("precision", "recall", "fp_per_frame"))
    return metrics


def _truths(data: dict[str, np.ndarray]) -> list[DetectionTruth]:
    return [
        DetectionTruth(
            data["boxes"][data["box_frame"] == number],
            data["ignore"][data["ignore_frame"] == number],
            bool(data["complete"][number]),
            bool(data["negative"][number]),
        )
        for number in range(len(data["images"]))
    ]
