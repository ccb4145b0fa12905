"""The operating threshold of a detector and its limits of false detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.detection_metrics import EvaluatedFrame, detection_metrics, operating_threshold

MAX_FALSE_ALARMS, MAX_FALSE_ALARMS_IN_STAR_FIELDS = 0.15, 0.05
"""The operating threshold has the best F1 within a minimum precision and these limits of false positives per frame
without galaxies (of nebulae and clusters; of stars only)."""
STAR_FIELDS = "sdss_starfields"


def choose_threshold(
    frames: Sequence[EvaluatedFrame], sets: np.ndarray, selects: np.ndarray, min_precision: float = 0.9
) -> float:
    """Choose a threshold on the frames reserved for it.

    See `models.detection_metrics.operating_threshold`.

    Args:
        frames: of an evaluation share, with the detections of all scores.
        sets: (n,) str, the data set of each.
        selects: (n,) bool, whether the threshold is chosen on the frame.
        min_precision: that the threshold must have, 0..1.
    """
    limits = np.where(sets == STAR_FIELDS, MAX_FALSE_ALARMS_IN_STAR_FIELDS, MAX_FALSE_ALARMS)
    return operating_threshold(select_frames(frames, selects), min_precision, limits[selects].tolist())


def measure_at_own_threshold(
    frames: Sequence[EvaluatedFrame], sets: np.ndarray, selects: np.ndarray
) -> dict[str, float | None]:
    """Choose a threshold, and measure at it on the other frames.

    Returns:
        threshold, and precision and recall at IoU 0.5 on the frames that it was not chosen on; None where undefined.
    """
    threshold = choose_threshold(frames, sets, selects)
    metrics = detection_metrics(select_frames(frames, ~selects), threshold)
    return {"threshold": threshold, "precision": metrics.precision, "recall": metrics.recall}


def select_frames(frames: Sequence[EvaluatedFrame], selected: np.ndarray) -> list[EvaluatedFrame]:
    """Return the frames where `selected` (n,) is true."""
    return [frame for frame, wanted in zip(frames, selected, strict=True) if wanted]
