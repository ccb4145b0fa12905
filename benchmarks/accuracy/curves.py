"""Precision, recall and false positives of a detector over its score.

The calibration of the score and the recall by size are included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...models.detection_metrics import IGNORED, TRUE_POSITIVE, EvaluatedFrame, match_outcomes

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Scores at which curves are sampled, 0.05 to 0.95."""

BINS = 10
SIZES = {"under 5 %": (0.0, 0.05), "5 to 10 %": (0.05, 0.1), "10 to 30 %": (0.1, 0.3), "over 30 %": (0.3, np.inf)}
"""Ranges of a galaxy's side (square root of the box's area), as shares of the image's side."""


def curves(frames: Sequence[EvaluatedFrame]) -> dict[str, Any]:
    """Sample curves over the score.

    Returns:
        ``levels``: for each of `LEVELS` score, precision, recall and fp_per_frame (in frames without galaxies), None if
        undefined. ``calibration``: for each of ten bins of the score with a detection, its mean score, the share of
        true positives, and the number of detections; ignored detections are excluded.
    """
    scores, outcomes, in_negative = match_outcomes(frames)
    boxes = sum(len(truth.boxes) for truth, _, _ in frames)
    negatives = sum(truth.negative for truth, _, _ in frames)
    counted = outcomes != IGNORED
    scores, right, in_negative = scores[counted], outcomes[counted] == TRUE_POSITIVE, in_negative[counted]
    levels = []
    for level in LEVELS:
        kept = scores >= level
        found, true = int(kept.sum()), int(right[kept].sum())
        levels.append(
            {
                "score": level,
                "precision": true / found if found else None,
                "recall": true / boxes if boxes else None,
                "fp_per_frame": int(in_negative[kept].sum()) / negatives if negatives else None,
            }
        )
    bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    calibration = [
        {
            "score": float(scores[bins == number].mean()),
            "right": float(right[bins == number].mean()),
            "detections": int(np.sum(bins == number)),
        }
        for number in range(BINS)
        if np.any(bins == number)
    ]
    return {"levels": levels, "calibration": calibration}


def recall_by_size(frames: Sequence[EvaluatedFrame], threshold: float, side: int) -> dict[str, list[int]]:
    """Count the galaxies of each size, and those found.

    Args:
        frames: as for `models.detection_metrics.detection_metrics`, of images of `side` pixels.
        threshold: minimum score of a reported detection.

    Returns:
        For each name in `SIZES`, the number found at IoU 0.5 and the number of galaxies.
    """
    counts = {}
    for name, (low, high) in SIZES.items():
        selected = [_of_size(frame, low * side, high * side) for frame in frames]
        scores, outcomes, _ = match_outcomes(selected)
        found = int(((outcomes == TRUE_POSITIVE) & (scores >= threshold)).sum())
        counts[name] = [found, sum(len(truth.boxes) for truth, _, _ in selected)]
    return counts


def _of_size(frame: EvaluatedFrame, low: float, high: float) -> EvaluatedFrame:
    """Return a frame where galaxies of other sizes are ignored.

    `low` and `high` limit the side, in pixels.
    """
    truth, boxes, scores = frame
    sides = np.sqrt(np.prod(truth.boxes[:, 2:] - truth.boxes[:, :2], axis=1))
    selected = (sides >= low) & (sides < high)
    ignore = np.concatenate([truth.ignore, truth.boxes[~selected]])
    return replace(truth, boxes=truth.boxes[selected], ignore=ignore), boxes, scores
