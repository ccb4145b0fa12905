"""Exposure times of frames and stacks."""

from __future__ import annotations

import datetime
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..frame import Frame

MAX_FRAMES = 64
"""Maximum number of frames in a stack."""


def exposure_seconds(header: Mapping[str, Any]) -> float | None:
    """Return the exposure time of FITS keywords in seconds; None if unusable."""
    for key in ("EXPTIME", "EXPOSURE"):
        try:
            seconds = float(header[key])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


class StackedExposures:
    """Begin and total exposure of a stack, which holds the last frames."""

    def __init__(self) -> None:
        self._frames: deque[tuple[datetime.datetime, float | None]] = deque(maxlen=MAX_FRAMES)

    def add(self, frame: Frame, stack: Frame) -> Frame:
        """Return the stack with its begin and exposure.

        Args:
            frame: the newest of its frames, as it was before.
            stack: the mean of ``stack.stacked`` frames.
        """
        self._frames.append((frame.time, exposure_seconds(frame.header)))
        times, exposures = zip(*list(self._frames)[-stack.stacked :], strict=True)
        known = [seconds for seconds in exposures if seconds is not None]
        return replace(stack, began=min(times), exposure=sum(known) if len(known) == len(times) else None)
