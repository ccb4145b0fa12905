"""The change gate: skip frames that do not differ from the last one processed."""

from __future__ import annotations

import datetime

import cv2
import numpy as np

from .statistics import mad_std, median

MIN_SIGMAS = 6.0
"""Change of a cell in standard deviations of its noise; of 100,000 cells, none exceeds it by chance in 1000 frames."""
SCINTILLATION = 0.15
"""Share of its light that a star may gain or lose by scintillation."""
MIN_NOISE = 0.35
MAX_BRIGHTNESS_CHANGE = 1.5
"""Levels by which the whole sky may change."""


class ChangeGate:
    """Detects frames that differ from the last one processed.

    Args:
        seconds: time, by the frames' own clock, after which a frame always counts as changed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = datetime.timedelta(seconds=seconds)
        self._kept: np.ndarray | None = None
        self._limit = np.zeros(0)
        self._time = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    def has_changed(self, small: np.ndarray, time: datetime.datetime) -> bool:
        """Return whether a frame differs from the last changed one by more than noise.

        `small` is its `grey_thumbnail`, which is kept if it differs.

        Cells of 3x3 thumbnail pixels are compared. The noise is that of the difference itself.
        """
        now = small.astype(np.float32)
        kept = self._kept
        new = kept is None or kept.shape != now.shape or not abs(time - self._time) < self._seconds
        if not new:
            assert kept is not None
            change = now - kept
            middle = median(change[::2, ::2])
            cells = np.abs(cv2.blur(change, (3, 3)) - middle)
            noise = MIN_SIGMAS * max(mad_std(change[::2, ::2], middle) / 3, MIN_NOISE)
            new = abs(middle) > MAX_BRIGHTNESS_CHANGE or bool((cells > noise + self._limit).any())
        if new:
            self._kept, self._time = now, time
            self._limit = SCINTILLATION * np.maximum(cv2.blur(now, (3, 3)) - median(now[::2, ::2]), 0.0)
        return new
