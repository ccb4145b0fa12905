"""Settings that may be changed during a run."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recording.writer import OutputWriter

SAVE_SECONDS = 1.0
"""Minimum interval between frames that are saved on request."""


class TooSoon(Exception):
    """The previous request to save a frame was too recent."""


@dataclass(eq=False)
class Controls:
    """Settings of a run; thread-safe, changes apply from the next frame.

    Attributes:
        paused: frames are shown and reported, but nothing is detected in them.
        min_score: minimum score of a detection, 0..1; None for the detector's own.
        default_min_score: the detector's own minimum score; None if it is not known.
        stack: frames in a stack; None for the run's initial value, and if frames are unrelated.
        show_inputs: the live page shows the detector's inputs in place of the frame.
        writer: writes a requested frame; None if the run has no output folder.
        saved_at: monotonic seconds of the last request to save a frame.
    """

    paused: bool = False
    min_score: float | None = None
    default_min_score: float | None = None
    stack: int | None = None
    show_inputs: bool = False
    writer: OutputWriter | None = None
    saved_at: float = -SAVE_SECONDS

    def save_frame(self) -> str | None:
        """Request that the next frame is saved.

        Return its name in the output folder, or None if the disk is full.

        Raises:
            TooSoon: the last request is less than `SAVE_SECONDS` ago.
        """
        if self.writer is None or self.writer.stopped:
            return None
        if self.writer.wanted is None:
            if time.monotonic() - self.saved_at < SAVE_SECONDS:
                raise TooSoon
            self.saved_at = time.monotonic()
            now = datetime.datetime.now(datetime.UTC)
            self.writer.want(f"saved/{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z.png")
        return self.writer.wanted
