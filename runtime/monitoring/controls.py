"""What a person may change while a run goes on."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recording.writer import OutputWriter


@dataclass
class Controls:
    """The handles of a run; any thread may turn them, and they are heeded from the next frame on.

    Attributes:
        paused: frames are shown and told of, but not searched.
        min_score: least score of a detection, 0..1; None for what the detector was made with.
        stack: frames in a stack; None for what the run began with, and where frames do not follow from each other.
        writer: writes the frame that is to be kept; None where nothing is kept.
    """

    paused: bool = False
    min_score: float | None = None
    stack: int | None = None
    writer: OutputWriter | None = None

    def save_frame(self) -> str | None:
        """Ask for the next frame to be kept; return its name in the output folder, or None where the disk is full."""
        if self.writer is None or self.writer.stopped:
            return None
        if self.writer.wanted is None:
            now = datetime.datetime.now(datetime.UTC)
            self.writer.want(f"saved/{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z.png")
        return self.writer.wanted
