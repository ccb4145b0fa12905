"""Precision, recall and average precision of detections.

Training, export gates and benchmarks measure with these functions only, so that their numbers can be compared.
Every number is a plain Python float, or None where it is not defined, so that a report can be written as JSON.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .boxes import box_areas, intersection_areas, iou_matrix

MATCH_IOU = 0.5
"""Overlap with a true box from which on a detection is right; share in an ignore box from which on it is ignored."""

SIZES = {"under 16 px": (0, 16), "16 to 32 px": (16, 32), "32 to 96 px": (32, 96), "over 96 px": (96, 10**5)}
"""Sides of boxes (square root of the area) by which average precision is told apart; 32 and 96 are COCO's."""

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class DetectionTruth:
    """What is in a frame.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1 of the galaxies to be found, in pixels.
        ignore: (M, 4) regions that count neither for nor against.
        complete: whether every visible galaxy is in `boxes` or `ignore`.
        negative: whether the frame is known to hold no galaxy.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    ignore: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    complete: bool = True
    negative: bool = False

    def __post_init__(self) -> None:
        for name in ("boxes", "ignore"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64).reshape(-1, 4))
        if self.negative and len(self.boxes):
            raise ValueError(f"a frame without galaxies cannot have {len(self.boxes)} boxes")


EvaluatedFrame = tuple[DetectionTruth, np.ndarray, np.ndarray]
"""The truth, the boxes found (N, 4) in the same pixels, and their scores (N,)."""


def detection_metrics(frames: Sequence[EvaluatedFrame], threshold: float) -> dict[str, Any]:
    """Measure a detector.

    Ignore boxes are COCO's crowds: they need not be found, and a detection of which at least half lies in one is
    neither right nor wrong. In a frame that is not `complete`, a detection whose centre lies outside every box and
    every ignore box may be an unboxed galaxy, so it is dropped before anything is counted. (No such detection could
    have been right: with its centre outside a box it overlaps it by less than 0.5.)

    Args:
        frames: for each frame, the truth, the boxes found (N, 4) and their scores (N,) 0..1. Give the detections
            below the threshold too, or average precision is cut short.
        threshold: the score from which on the model reports a detection.

    Returns:
        ``map50``, ``map`` (average precision at IoU 0.5, and over IoU 0.5:0.05:0.95), ``ar1``, ``ar10`` (average
        recall of the best 1 and 10 detections a frame, those in ignore boxes taking their places too), all by
        pycocotools over all scores, at most 100 detections a frame; ``precision`` and ``recall`` at the threshold and
        IoU 0.5; ``fp_per_frame``, the mean number of detections at the threshold in frames without galaxies;
        ``frames`` and ``boxes``, how many were judged.
        None for what is not defined: without true boxes, detections, or frames without galaxies.

    Raises:
        ValueError: boxes and scores of a frame do not agree, or are not finite.
        ModuleNotFoundError: pycocotools is not installed.
    """
    judged = [_drop_undecidable(frame) for frame in frames]
    scores, verdicts, in_negative = _verdicts(judged)
    kept = scores >= threshold
    right = int(np.sum(verdicts[kept] == TRUE_POSITIVE))
    wrong = int(np.sum(verdicts[kept] == FALSE_POSITIVE))
    false_alarms = int(np.sum(kept & in_negative & (verdicts == FALSE_POSITIVE)))
    negatives = sum(truth.negative for truth, _, _ in judged)
    boxes = sum(len(truth.boxes) for truth, _, _ in judged)
    return {
        **_coco(judged),
        "precision": right / (right + wrong) if right + wrong else None,
        "recall": right / boxes if boxes else None,
        "fp_per_frame": false_alarms / negatives if negatives else None,
        "frames": len(judged),
        "boxes": boxes,
    }


def precision_by_size(frames: Sequence[EvaluatedFrame]) -> dict[str, float | None]:
    """Measure average precision at IoU 0.5 of small and large galaxies, by pycocotools: name in `SIZES` -> 0..1.

    Sizes are in the pixels of the boxes given; None where no true box is of a size.
    """
    judged = [_drop_undecidable(frame) for frame in frames]
    evaluation = _evaluate(judged, [[float(low) ** 2, float(high) ** 2] for low, high in SIZES.values()])
    if evaluation is None:
        return dict.fromkeys(SIZES)
    precision = evaluation.eval["precision"][0, :, 0, :, -1]  # recall point, size; -1 where there is no true box
    return {
        name: float(found.mean()) if (found >= 0).all() else None
        for name, found in zip(SIZES, precision.T, strict=True)
    }


def match_outcomes(frames: Sequence[EvaluatedFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge every detection by itself, for curves over the score.

    Args:
        frames: as for `detection_metrics`.

    Returns:
        scores (N,), outcomes (N,) `TRUE_POSITIVE`, `FALSE_POSITIVE` or `IGNORED` at IoU 0.5, and (N,) whether each
        is in a frame without galaxies; frame by frame.
    """
    return _verdicts([_drop_undecidable(frame) for frame in frames])


def operating_threshold(
    frames: Sequence[EvaluatedFrame], minimum_precision: float = 0.9, max_fp_per_frame: float | Sequence[float] = 0.05
) -> float:
    """Choose the score from which on a detection is reported; on validation data, never on test data.

    Args:
        frames: as for `detection_metrics`.
        minimum_precision: precision to be reached at IoU 0.5, 0..1.
        max_fp_per_frame: mean number of detections allowed in a frame without galaxies; not asked for when there is
            no such frame. Of each frame its own: those of one limit are counted together.

    Returns:
        Among the scores that meet all limits, the one with the best F1. When none does, the one with the best F1
        of all: a detector that falls short is still used at its best, and its metrics show by how much it does. The
        higher of equals. It is returned as the middle between the lowest score reported and the next one (or 0), so
        that rounding it never moves a level of an int8 model across. 0.5 when no detection is right.
    """
    judged = [_drop_undecidable(frame) for frame in frames]
    scores, verdicts, _ = _verdicts(judged)
    if not np.any(verdicts == TRUE_POSITIVE):
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, verdicts = scores[order], verdicts[order]
    # Equal scores are reported together: only the last of each run is a threshold.
    last = np.append(scores[1:] != scores[:-1], True)
    right = np.cumsum(verdicts == TRUE_POSITIVE)[last]
    wrong = np.cumsum(verdicts == FALSE_POSITIVE)[last]
    boxes = sum(len(truth.boxes) for truth, _, _ in judged)

    f1 = 2 * right / (right + wrong + boxes)
    # A threshold that reports nothing right is of no use, whatever limits it meets.
    meets = (right > 0) & (right / np.maximum(right + wrong, 1) >= minimum_precision)
    limits = np.broadcast_to(max_fp_per_frame, len(judged))
    negative = np.array([truth.negative for truth, _, _ in judged])
    frame = np.repeat(np.arange(len(judged)), [len(scores) for _, _, scores in judged])[order]
    for most in np.unique(limits[negative]):
        alike = negative & (limits == most)
        false_alarms = np.cumsum(alike[frame] & (verdicts == FALSE_POSITIVE))[last]
        meets &= false_alarms / alike.sum() <= most
    if meets.any():
        f1 = np.where(meets, f1, -1.0)
    levels = np.append(scores[last], 0.0)
    best = int(np.argmax(f1))
    return float(levels[best] + levels[best + 1]) / 2


def _drop_undecidable(frame: EvaluatedFrame) -> EvaluatedFrame:
    """Check a frame, and drop the detections that an incomplete truth cannot judge."""
    truth = frame[0]
    boxes, scores = np.array(frame[1], np.float64).reshape(-1, 4), np.asarray(frame[2], np.float64)
    if scores.shape != (len(boxes),):
        raise ValueError(f"{len(boxes)} boxes do not fit scores of shape {scores.shape}")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("a box or a score is not finite: has the training diverged?")
    # An inside-out box is an empty one; pycocotools would take its negative area for real.
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    if truth.complete or truth.negative:
        return truth, boxes, scores
    known = np.concatenate([truth.boxes, truth.ignore])
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None, :]
    inside = np.all((centres >= known[None, :, :2]) & (centres <= known[None, :, 2:]), axis=2).any(axis=1)
    return truth, boxes[inside], scores[inside]


def _verdicts(frames: Sequence[EvaluatedFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match every detection: score, outcome, and whether it is in a frame without galaxies.

    A verdict depends on better detections only, so it is the same at every threshold.
    """
    verdicts = [_match(*frame) for frame in frames]
    negative = [np.full(len(scores), truth.negative) for truth, _, scores in frames]
    return (
        np.concatenate([np.zeros(0), *(scores for _, _, scores in frames)]),
        np.concatenate([np.zeros(0, int), *verdicts]),
        np.concatenate([np.zeros(0, bool), *negative]),
    )


def _match(truth: DetectionTruth, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Match greedily, best score first, each to the true box it overlaps most among those still free."""
    verdicts = np.full(len(boxes), FALSE_POSITIVE)
    verdicts[_share_inside(boxes, truth.ignore) >= MATCH_IOU] = IGNORED
    if not len(truth.boxes):
        return verdicts
    overlaps = iou_matrix(boxes, truth.boxes)
    for index in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(overlaps[index]))
        if overlaps[index, best] >= MATCH_IOU:
            verdicts[index] = TRUE_POSITIVE
            overlaps[:, best] = -1.0
    return verdicts


def _share_inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of each box (N, 4) that lies in the region (M, 4) covering most of it: (N,) 0..1."""
    if not len(regions):
        return np.zeros(len(boxes))
    areas = box_areas(boxes)
    covered = intersection_areas(boxes, regions).max(axis=1)
    return np.where(areas > 0, covered / np.maximum(areas, 1e-12), 0.0)


def _coco(frames: Sequence[EvaluatedFrame]) -> dict[str, float | None]:
    """Average precision and recall by COCOeval (Lin et al. 2014, arXiv:1405.0312), for one category."""
    evaluation = _evaluate(frames, [[0, 1e10]])
    if evaluation is None:
        return {"map50": None, "map": None, "ar1": None, "ar10": None}
    precision = evaluation.eval["precision"][:, :, 0, 0, -1]  # IoU, recall point
    recall = evaluation.eval["recall"][:, 0, 0]  # IoU, detections a frame: 1, 10, 100
    return {
        "map50": float(precision[0].mean()),
        "map": float(precision.mean()),
        "ar1": float(recall[:, 0].mean()),
        "ar10": float(recall[:, 1].mean()),
    }


def _evaluate(frames: Sequence[EvaluatedFrame], areas: list[list[float]]) -> Any:
    """Run COCOeval over frames for ranges of area; None without true boxes."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "average precision is measured by pycocotools: pip install 'galaxy-edge[bench]'", name=missing.name
        ) from missing

    def annotation(frame: int, box: np.ndarray, **more: Any) -> dict[str, Any]:
        x, y, width, height = (float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1]))
        area = width * height
        return {"image_id": frame, "category_id": 1, "bbox": [x, y, width, height], "area": area, "iscrowd": 0, **more}

    true, found = [], []
    for number, (truth, boxes, scores) in enumerate(frames):
        true += [annotation(number, box) for box in truth.boxes]
        true += [annotation(number, box, iscrowd=1) for box in truth.ignore]
        found += [annotation(number, box, score=float(score)) for box, score in zip(boxes, scores, strict=True)]
    if not any(len(truth.boxes) for truth, _, _ in frames):
        return None

    def index(annotations: list[dict[str, Any]]) -> Any:
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(frames))],
            "categories": [{"id": 1, "name": "galaxy"}],
            # COCOeval takes the id 0 for "not matched", so they start at 1.
            "annotations": [{**entry, "id": number} for number, entry in enumerate(annotations, 1)],
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(index(true), index(found), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = areas, [str(area) for area in areas]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation
