"""Precision, recall and false positives of a detector over its score.

The calibration of the score is included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...models.detection_metrics import IGNORED, TRUE_POSITIVE, EvaluatedFrame, match_outcomes

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Scores at which curves are sampled, 0.05 to 0.95."""

BINS = 10


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
