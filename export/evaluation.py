"""Evaluate every variant of a bundle on held-out images.

The engines are those of the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..devices.engines import engines_for
from ..models.boxes import iou_matrix
from ..models.bundle import Bundle
from ..models.detection_metrics import (
    DetectionTruth,
    EvaluatedFrame,
    detection_intervals,
    detection_metrics,
    loss_chance,
    truths_from_arrays,
)
from ..models.metrics import ClassificationMetrics, DetectionMetrics
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.detector import Detector
from ..runtime.inference.evaluation import MIN_EVALUATED_SCORE, classifier_metrics, detections_of
from ..training.detector.operating_point import choose_threshold, select_frames
from .baselines import baseline_threshold, centre_boxes, extended_sources
from .chance import PairedCounts, paired_counts
from .tuned_sep import tuned_sources

FLOAT_VARIANTS = ("fp32", "onnx_fp32")
MATCH_IOU = 0.5

SUBSET_KEYS = ("map50", "map", "fp_per_frame", "frames", "boxes")
"""Metrics that are recorded for each data set of the evaluation share."""


@dataclass(frozen=True)
class ClassifierAgreement:
    """How the probabilities of two classifiers for the same images agree.

    Attributes:
        agreement: share of images with the same most probable class.
        mean_difference, max_difference: of the probabilities.
        images: their number.
    """

    agreement: float
    mean_difference: float
    max_difference: float
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a manifest and for JSON."""
        return {"pictures" if name == "images" else name: value for name, value in vars(self).items()}


@dataclass(frozen=True)
class DetectorAgreement:
    """How another detector's boxes agree with those of a reference.

    Values that are not defined are None.

    Attributes:
        boxes, other_boxes: numbers of boxes that the reference and the other detector report.
        matched: share of them that the other detector finds with IoU 0.5, at any score.
        added: share of the boxes that the other detector reports and the reference does not find.
        score_correlation: of the pairs.
        mean_difference, max_difference: of the scores of the pairs.
        mean_iou: of the pairs.
    """

    boxes: int
    matched: float | None
    added: float
    score_correlation: float | None
    mean_difference: float | None
    max_difference: float | None
    mean_iou: float | None
    other_boxes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a manifest and for JSON."""
        return dict(vars(self))


Agreement = ClassifierAgreement | DetectorAgreement
Metrics = ClassificationMetrics | DetectionMetrics
Change = PairedCounts | float | None
"""What a variant lost and gained against float32: images by class, or, of a detector, the probability that its drop of
mAP@0.5 is chance, see `loss_chance`; None if that is unknown or nothing dropped."""


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        metrics: by variant; for a detector, of its baselines too; empty without labels.
        agreement: of each variant with the reference.
        threshold: of a detector, the operating threshold, chosen for int8 on one half of these images; precision,
            recall and false positives in `metrics` are those of the other half.
        sets: of a detector and its baselines, the metrics of each data set.
        changes: of each variant against the reference.
        intervals: 95 %, of the variant that the threshold was chosen for, see `detection_intervals`.
    """

    metrics: Mapping[str, Metrics]
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    threshold: float | None = None
    sets: Mapping[str, Mapping[str, DetectionMetrics]] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, list[float] | None]] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)

    def metric_tables(self) -> dict[str, dict[str, Any]]:
        """Return plain values of the metrics by variant.

        Those of a detector include ``sets`` and ``intervals``.

        Of each data set they have `SUBSET_KEYS`.
        """
        tables = {name: metrics.to_dict() for name, metrics in self.metrics.items()}
        for name, sets in self.sets.items():
            tables[name]["sets"] = {
                subset: {key: getattr(metrics, key) for key in SUBSET_KEYS} for subset, metrics in sets.items()
            }
        for name, intervals in self.intervals.items():
            tables[name]["intervals"] = dict(intervals)
        return tables


def evaluate_bundle(bundle: Bundle, data: dict[str, np.ndarray], min_precision: float) -> Evaluation:
    """Evaluate every variant that this machine can run.

    Args:
        data: a run's evaluation share: ``images`` and ``labels``, or boxes, see
            `training.detector.evaluation.evaluation_set`.
        min_precision: that a detector's operating threshold must have, 0..1.
    """
    names = runnable_variants(bundle)
    if "labels" not in data and "boxes" not in data:
        return _unlabelled(bundle, names, data["images"])
    if bundle.task == "classify":
        return _classifier(bundle, names, data)
    return _detector(bundle, names, data, min_precision)


def _classifier(bundle: Bundle, names: list[str], data: dict[str, np.ndarray]) -> Evaluation:
    images = [(image, None, int(label)) for image, label in zip(data["images"], data["labels"], strict=True)]
    results = {name: classifier_metrics(Classifier(bundle, name), images) for name in names}
    reference = reference_variant(names)
    expected = results[reference][1]
    others = {name: actual for name, (_, actual) in results.items() if name != reference}
    labels = np.asarray(data["labels"], int)
    return Evaluation(
        {name: metrics for name, (metrics, _) in results.items()},
        {name: classifier_agreement(expected, actual) for name, actual in others.items()},
        changes={name: paired_counts(expected, actual, labels) for name, actual in others.items()},
    )


def classifier_agreement(before: np.ndarray, after: np.ndarray) -> ClassifierAgreement:
    """Compare probabilities (N, C) of the same images."""
    difference = np.abs(before - after)
    return ClassifierAgreement(
        agreement=float(np.mean(before.argmax(axis=1) == after.argmax(axis=1))),
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
        images=len(before),
    )


def runnable_variants(bundle: Bundle) -> list[str]:
    """Return the names of the variants that this machine can run."""
    return [name for name, variant in bundle.variants.items() if engines_for(variant.runtime)]


def reference_variant(names: list[str]) -> str:
    """Return the variant that the others are compared with.

    It is float32, or the first variant if there is no float32.
    """
    return next((name for name in FLOAT_VARIANTS if name in names), names[0])


def _unlabelled(bundle: Bundle, names: list[str], images: np.ndarray) -> Evaluation:
    """Compare the detections of the variants; without labels there are no metrics."""
    frames = [(image, DetectionTruth(complete=False)) for image in images]
    results = {name: detections_of(Detector(bundle, name, min_score=MIN_EVALUATED_SCORE), frames) for name in names}
    return Evaluation({}, _agreements(results, bundle.manifest.detector_decode.score_threshold), None)


def _agreements(results: dict[str, list[EvaluatedFrame]], threshold: float) -> dict[str, DetectorAgreement]:
    reference = reference_variant(list(results))
    before = results[reference]
    return {name: detector_agreement(before, after, threshold) for name, after in results.items() if name != reference}


def _detector(bundle: Bundle, names: list[str], data: dict[str, np.ndarray], min_precision: float) -> Evaluation:
    truths = truths_from_arrays(data)
    frames = list(zip(data["images"], truths, strict=True))
    results = {name: detections_of(Detector(bundle, name, min_score=MIN_EVALUATED_SCORE), frames) for name in names}
    # Chosen on one half of the frames, and measured on the other.
    selects = np.asarray(data.get("selects", np.arange(len(frames)) % 2 == 0), bool)
    shipped = "int8" if "int8" in results else reference_variant(names)
    chosen = results[shipped]
    threshold = choose_threshold(chosen, data["set"], selects, min_precision)
    agreement = _agreements(results, threshold)
    baselines = {
        "centre_box": centre_boxes(data["images"], data["boxes"], data["box_frame"], data["set"]),
        "sep": extended_sources(data["images"]),
        "sep_tuned": tuned_sources(data["images"]),
    }
    for name, found in baselines.items():
        results[name] = [(truth, boxes, scores) for truth, (boxes, scores) in zip(truths, found, strict=True)]
    every = np.ones(len(frames), bool)
    metrics, sets = {}, dict[str, dict[str, DetectionMetrics]]()
    for name, evaluated in results.items():
        minimum = baseline_threshold(name) if name in baselines else threshold
        metrics[name] = _metrics(evaluated, minimum, every, ~selects)
        sets[name] = {}
        for subset in sorted(set(data["set"].tolist())):
            of_set = data["set"] == subset
            sets[name][subset] = _metrics(evaluated, minimum, of_set, of_set & ~selects)
    intervals = detection_intervals(chosen, threshold, select_frames(chosen, ~selects))
    changes = {name: _drop_chance(results, metrics, reference_variant(names), name) for name in agreement}
    return Evaluation(metrics, agreement, threshold, sets, {shipped: intervals}, changes)


def _drop_chance(
    results: dict[str, list[EvaluatedFrame]], metrics: dict[str, DetectionMetrics], reference: str, name: str
) -> float | None:
    """Return the probability that a drop of mAP@0.5 is chance; None without one."""
    before, after = metrics[reference].map50, metrics[name].map50
    if before is None or after is None or after >= before:
        return None
    return loss_chance(results[reference], results[name])


def detector_agreement(
    before: list[EvaluatedFrame], after: list[EvaluatedFrame], threshold: float
) -> DetectorAgreement:
    """Compare the detections of a reference and of another network.

    `before` and `after` are their detections in the same frames.
    """
    pairs: list[tuple[float, float, float]] = []
    before_count, after_count, added = 0, 0, 0
    for (_, boxes, scores), (_, other_boxes, other_scores) in zip(before, after, strict=True):
        reported = np.flatnonzero(scores >= threshold)
        before_count += len(reported)
        overlap = iou_matrix(boxes, other_boxes)
        other_reported = np.flatnonzero(other_scores >= threshold)
        after_count += len(other_reported)
        added += int((overlap.max(axis=0, initial=0.0)[other_reported] < MATCH_IOU).sum())
        free = np.ones(len(other_boxes), bool)
        for index in reported[np.argsort(-scores[reported], kind="stable")]:
            candidates = np.where(free, overlap[index], 0.0)
            if len(candidates) and candidates.max() >= MATCH_IOU:
                best = int(candidates.argmax())
                free[best] = False
                pairs.append((float(scores[index]), float(other_scores[best]), float(candidates[best])))
    first, second, overlaps = np.asarray(pairs, np.float64).reshape(-1, 3).T
    difference = np.abs(first - second)
    varied = len(first) > 1 and first.std() > 1e-6 and second.std() > 1e-6
    return DetectorAgreement(
        boxes=before_count,
        matched=len(pairs) / before_count if before_count else None,
        added=added / after_count if after_count else 0.0,
        score_correlation=float(np.corrcoef(first, second)[0, 1]) if varied else None,
        mean_difference=float(difference.mean()) if pairs else None,
        max_difference=float(difference.max()) if pairs else None,
        mean_iou=float(overlaps.mean()) if pairs else None,
        other_boxes=after_count,
    )


def _metrics(
    frames: list[EvaluatedFrame], threshold: float, measured: np.ndarray, operating: np.ndarray
) -> DetectionMetrics:
    """Measure the frames `measured`; those of `operating` at the threshold."""
    return detection_metrics(select_frames(frames, measured), threshold, select_frames(frames, operating))
