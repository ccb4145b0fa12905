"""What a detector's score means: precision, recall and false alarms over it, and whether it is a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...models.detection_metrics import IGNORED, TRUE_POSITIVE, EvaluatedFrame, match_outcomes

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Scores at which curves are read, 0.05 to 0.95."""

BINS = 10


def curves(frames: Sequence[EvaluatedFrame]) -> dict[str, Any]:
    """Read curves over the score.

    Returns:
        ``levels``: for each of `LEVELS` score, precision, recall, fp_per_frame (in frames without galaxies), None where
        not defined. ``calibration``: for each of ten bins of the score with a detection, its mean score, the share of
        detections that are right, and their number; detections that count neither way are left out.
    """
    scores, judged, in_negative = match_outcomes(frames)
    boxes = sum(len(truth.boxes) for truth, _, _ in frames)
    negatives = sum(truth.negative for truth, _, _ in frames)
    counted = judged != IGNORED
    scores, right, in_negative = scores[counted], judged[counted] == TRUE_POSITIVE, in_negative[counted]
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
    place = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    calibration = [
        {
            "score": float(scores[place == number].mean()),
            "right": float(right[place == number].mean()),
            "detections": int(np.sum(place == number)),
        }
        for number in range(BINS)
        if np.any(place == number)
    ]
    return {"levels": levels, "calibration": calibration}
