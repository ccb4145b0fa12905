"""Precision, recall and average precision of detections.

Training, export gates and benchmarks use only these functions, so that their numbers can be compared. Every number is
a plain Python float, or None where it is undefined, so that a report can be written as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from . import coco
from .boxes import iou_matrix
from .coco import CocoFrame, ignored_overlap
from .intervals import poisson_interval, wilson_interval
from .metrics import DetectionMetrics, OperatingCounts

MATCH_IOU = 0.5
"""Minimum IoU of a detection with its true box; minimum share in common with an ignore box for it to be ignored."""

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class DetectionTruth:
    """The true content of a frame.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1 of the galaxies to be found, in pixels.
        ignore: (M, 4) regions that count neither for nor against.
        complete: whether every visible galaxy is in `boxes` or `ignore`.
        negative: whether the frame is known to contain no galaxy.
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


def truths_from_arrays(arrays: Mapping[str, np.ndarray]) -> list[DetectionTruth]:
    """Return the truths of a run's evaluation share.

    See `training.detector.evaluation.evaluation_set`.
    """
    return [
        DetectionTruth(
            arrays["boxes"][arrays["box_frame"] == index],
            arrays["ignore"][arrays["ignore_frame"] == index],
            bool(arrays["complete"][index]),
            bool(arrays["negative"][index]),
        )
        for index in range(len(arrays["images"]))
    ]


def detection_metrics(
    frames: Sequence[EvaluatedFrame], threshold: float, operating: Sequence[EvaluatedFrame] | None = None
) -> DetectionMetrics:
    """Measure a detector.

    Ignore boxes need not be found, and a detection that has at least half of its area, or half of the ignore box, in
    common with one is neither a true nor a false positive (`coco.ignored_overlap`). In a frame that is not `complete`,
    a detection whose centre lies outside every box and every ignore box may be an unboxed galaxy, so it is dropped
    before counting. (It cannot be a true positive: its centre is outside the true box, so their IoU is below 0.5.)

    Args:
        frames: for each frame, the truth, the boxes found (N, 4) and their scores (N,) 0..1. Include the detections
            below the threshold, which average precision needs.
        threshold: minimum score of a reported detection.
        operating: the frames that are measured at the threshold, if not all: those it was not chosen on.

    Returns:
        The metrics: average precision and recall by pycocotools over all scores, at most 100 detections per frame
        (``ar1`` and ``ar10`` count those in ignore boxes); the others at the threshold. A metric that is undefined (no
        true boxes, no detections, or no frames without galaxies) is None.

    Raises:
        ValueError: the boxes and scores of a frame differ in number, or are not finite.
        ModuleNotFoundError: pycocotools is not installed.
    """
    evaluated = [_drop_undecidable(frame) for frame in frames]
    counts = _count(evaluated if operating is None else [_drop_undecidable(frame) for frame in operating], threshold)
    return DetectionMetrics(
        **coco.average_precision(_coco_frames(evaluated)),
        precision=counts.right / counts.positives if counts.positives else None,
        recall=counts.right / counts.boxes if counts.boxes else None,
        fp_per_frame=counts.false_alarms / counts.negatives if counts.negatives else None,
        frames=len(evaluated),
        boxes=sum(len(truth.boxes) for truth, _, _ in evaluated),
        operating=OperatingCounts(counts.frames, counts.boxes, counts.positives, counts.negatives),
    )


def detection_intervals(
    frames: Sequence[EvaluatedFrame], threshold: float, operating: Sequence[EvaluatedFrame] | None = None
) -> dict[str, list[float] | None]:
    """Return the 95 % intervals of `detection_metrics`.

    Each key has [low, high], or None where the metric is undefined.

    Average precision and recall by drawing frames with replacement; precision and recall at the threshold are shares
    (Wilson), false positives per frame a rate (Poisson).
    """
    evaluated = [_drop_undecidable(frame) for frame in frames]
    counts = _count(evaluated if operating is None else [_drop_undecidable(frame) for frame in operating], threshold)
    intervals = {
        **coco.average_precision_intervals(_coco_frames(evaluated)),
        "precision": wilson_interval(counts.right, counts.positives) if counts.positives else None,
        "recall": wilson_interval(counts.right, counts.boxes) if counts.boxes else None,
        "fp_per_frame": poisson_interval(counts.false_alarms, counts.negatives) if counts.negatives else None,
    }
    return {key: None if limits is None else list(limits) for key, limits in intervals.items()}


def loss_chance(before: Sequence[EvaluatedFrame], after: Sequence[EvaluatedFrame]) -> float | None:
    """Return the probability that a drop of mAP@0.5 is chance.

    See `coco.map50_loss_chance`.
    """
    first, second = ([_drop_undecidable(frame) for frame in frames] for frames in (before, after))
    return coco.map50_loss_chance(_coco_frames(first), _coco_frames(second))


def match_outcomes(frames: Sequence[EvaluatedFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the outcome of every detection, for curves over the score.

    Args:
        frames: as for `detection_metrics`.

    Returns:
        Frame by frame: scores (N,), outcomes (N,) `TRUE_POSITIVE`, `FALSE_POSITIVE` or `IGNORED` at IoU 0.5, and (N,)
        whether each detection is in a frame without galaxies.
    """
    return _match_all([_drop_undecidable(frame) for frame in frames])


def operating_threshold(
    frames: Sequence[EvaluatedFrame], minimum_precision: float = 0.9, max_fp_per_frame: float | Sequence[float] = 0.05
) -> float:
    """Choose the minimum score of a reported detection.

    It is chosen from validation data and never from test data.

    Args:
        frames: as for `detection_metrics`.
        minimum_precision: precision required at IoU 0.5, 0..1.
        max_fp_per_frame: maximum mean number of detections in a frame without galaxies; not applied when there is no
            such frame. One limit, or one for each frame: frames with the same limit are counted together.

    Returns:
        Among the scores that meet all limits, the one with the best F1, the highest if there are several. If no score
        meets them, the one with the best F1 of all: a detector that misses the limits still runs at its best, and its
        metrics show by how much it misses them. The value is the midpoint between the lowest reported score and the
        next one (or 0), so that rounding never moves a level of an int8 model across it. 0.5 without a true positive.
    """
    evaluated = [_drop_undecidable(frame) for frame in frames]
    scores, outcomes, _ = _match_all(evaluated)
    if not np.any(outcomes == TRUE_POSITIVE):
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, outcomes = scores[order], outcomes[order]
    # Equal scores are reported together: only the last of each group is a threshold.
    last = np.append(scores[1:] != scores[:-1], True)
    true_positives = np.cumsum(outcomes == TRUE_POSITIVE)[last]
    false_positives = np.cumsum(outcomes == FALSE_POSITIVE)[last]
    positives = true_positives + false_positives
    boxes = sum(len(truth.boxes) for truth, _, _ in evaluated)

    f1 = 2 * true_positives / (positives + boxes)
    # A threshold without a true positive is not usable, even if it meets all limits.
    meets = (true_positives > 0) & (true_positives / np.maximum(positives, 1) >= minimum_precision)
    limits = np.broadcast_to(max_fp_per_frame, len(evaluated))
    negative = np.array([truth.negative for truth, _, _ in evaluated])
    frame = np.repeat(np.arange(len(evaluated)), [len(scores) for _, _, scores in evaluated])[order]
    for limit in np.unique(limits[negative]):
        selected = negative & (limits == limit)
        false_alarms = np.cumsum(selected[frame] & (outcomes == FALSE_POSITIVE))[last]
        meets &= false_alarms / selected.sum() <= limit
    if meets.any():
        f1 = np.where(meets, f1, -1.0)
    levels = np.append(scores[last], 0.0)
    best = int(np.argmax(f1))
    return float(levels[best] + levels[best + 1]) / 2


class _Counts(NamedTuple):
    """Detections at a threshold: right, counted, false in frames without galaxies."""

    frames: int
    right: int
    positives: int
    false_alarms: int
    negatives: int
    boxes: int


def _count(frames: Sequence[EvaluatedFrame], threshold: float) -> _Counts:
    scores, outcomes, in_negative = _match_all(frames)
    kept = scores >= threshold
    right, false = kept & (outcomes == TRUE_POSITIVE), kept & (outcomes == FALSE_POSITIVE)
    negatives = sum(truth.negative for truth, _, _ in frames)
    boxes = sum(len(truth.boxes) for truth, _, _ in frames)
    positives, alarms = int((right | false).sum()), int((false & in_negative).sum())
    return _Counts(len(frames), int(right.sum()), positives, alarms, negatives, boxes)


def _coco_frames(frames: Sequence[EvaluatedFrame]) -> list[CocoFrame]:
    return [(truth.boxes, truth.ignore, boxes, scores) for truth, boxes, scores in frames]


def _drop_undecidable(frame: EvaluatedFrame) -> EvaluatedFrame:
    """Check a frame, and drop detections that its truth cannot classify.

    An incomplete truth does not show whether they are right or wrong.
    """
    truth = frame[0]
    boxes, scores = np.array(frame[1], np.float64).reshape(-1, 4), np.asarray(frame[2], np.float64)
    if scores.shape != (len(boxes),):
        raise ValueError(f"{len(boxes)} boxes do not match scores of shape {scores.shape}")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("a box or a score is not finite: has the training diverged?")
    # A box with reversed edges is empty; pycocotools would compute an area from the two negative sides.
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    if truth.complete or truth.negative:
        return truth, boxes, scores
    known = np.concatenate([truth.boxes, truth.ignore])
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None, :]
    inside = np.all((centres >= known[None, :, :2]) & (centres <= known[None, :, 2:]), axis=2).any(axis=1)
    return truth, boxes[inside], scores[inside]


def _match_all(frames: Sequence[EvaluatedFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match every detection.

    Return scores, outcomes, and whether each is in a frame without galaxies.

    An outcome depends on better detections only, so it is the same at every threshold.
    """
    outcomes = [_match(*frame) for frame in frames]
    negative = [np.full(len(scores), truth.negative) for truth, _, scores in frames]
    return (
        np.concatenate([np.zeros(0), *(scores for _, _, scores in frames)]),
        np.concatenate([np.zeros(0, int), *outcomes]),
        np.concatenate([np.zeros(0, bool), *negative]),
    )


def _match(truth: DetectionTruth, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Match each detection to the unmatched true box that it overlaps most.

    Matching is greedy, best score first.
    """
    outcomes = np.full(len(boxes), FALSE_POSITIVE)
    outcomes[ignored_overlap(boxes, truth.ignore).max(axis=1, initial=0.0) >= MATCH_IOU] = IGNORED
    if not len(truth.boxes):
        return outcomes
    overlaps = iou_matrix(boxes, truth.boxes)
    for index in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(overlaps[index]))
        if overlaps[index, best] >= MATCH_IOU:
            outcomes[index] = TRUE_POSITIVE
            overlaps[:, best] = -1.0
    return outcomes
