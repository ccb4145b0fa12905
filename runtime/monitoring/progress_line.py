"""Show the progress of a run in a live table, or in one log line a minute."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from .run_stats import RunStats

if TYPE_CHECKING:
    from .live_table import LiveTable

logger = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds between lines; a journal of a night stays readable."""


def progress_display(length: int | None, err: bool) -> LiveTable | StatusLine:
    """Return what shows the progress of a run, a context manager.

    Args:
        length: number of frames, if known.
        err: whether a live table is drawn on stderr, because stdout has the results.
    """
    if not (sys.stderr if err else sys.stdout).isatty():
        return StatusLine()
    from .live_table import LiveTable  # rich takes memory that a service does not need to spend

    return LiveTable(length, err)


class StatusLine:
    """Logs one line at regular intervals.

    Args:
        interval: seconds between lines.
        clock: returns monotonic seconds.
    """

    def __init__(self, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._logged_at = clock()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, frame: Frame, detections: Detections, record: FrameRecord, stats: RunStats) -> None:
        """Log the progress if the last line is old enough."""
        if self._clock() - self._logged_at < self._interval:
            return
        self._logged_at = self._clock()
        frames = f"{stats.frames} frame{'' if stats.frames == 1 else 's'}"
        galaxies = f"{stats.events} {'galaxy' if stats.events == 1 else 'galaxies'}"
        rate = stats.frames / stats.seconds if stats.seconds else 0.0
        logger.info("%s, %s, %.1f frames/s", frames, galaxies, rate)
