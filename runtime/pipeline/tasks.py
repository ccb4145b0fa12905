"""The types of the pipeline: a frame's task, a stage, the callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..imaging.sky_motion import IDENTITY
from ..inference.detector import ModelInput
from ..inference.engine import RawTensor
from ..monitoring.run_stats import RunStats
from ..timing import Stopwatch

if TYPE_CHECKING:
    from ...sky.solution import Solution


@dataclass(eq=False)
class FrameTask:
    """A frame on its way through the stages, with the result of each.

    Attributes:
        frame: the frame; after stacking, with the mean of the stack in its place.
        stopwatch: times each stage.
        sky: (3, 3) where the sky has moved to, see `imaging.sky_motion`.
        sky_seen: whether any sky was visible in the frame.
        star_field: number of the star field that the frame shows, see `imaging.field_motion`.
        is_trailed: whether its stars are trailed by a slew.
        is_searched: false while the run is paused: then nothing is detected, and no object counts as unseen.
        is_new: false if the frame shares the detections of the last new one, see `imaging.change_gate`.
        views: (N, 4) int x0, y0, x1, y1: the parts of the frame that the detector sees, the whole frame first.
        inputs: the views in the format of the detector's input.
        raw: the detector's raw outputs for each view.
        detections: the result: boxes, scores and class probabilities.
        solution: where the frame is on the sky, in pixels of the source's own frame; None where it is not known.
        sky_note: why it is not known, e.g. "no sky position: no plate solver is installed"; "" where it is.
    """

    frame: Frame
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    sky: np.ndarray = field(default_factory=lambda: IDENTITY)
    sky_seen: bool = True
    star_field: int = 0
    is_trailed: bool = False
    is_searched: bool = True
    is_new: bool = True
    views: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), int))
    inputs: list[ModelInput] = field(default_factory=list)
    raw: list[dict[str, RawTensor]] = field(default_factory=list)
    detections: Detections = field(default_factory=Detections.empty)
    solution: Solution | None = None
    sky_note: str = ""


class Stage(NamedTuple):
    """One stage of the pipeline.

    Attributes:
        process: the work on a frame; its name is the stage's.
        reload_engine: replaces the stage's engine after an inference that hangs; None where there is none.
    """

    process: Callable[[FrameTask], None]
    reload_engine: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """Name of the stage, also of its thread."""
        return self.process.__name__


FrameCallback = Callable[[Frame, Detections, FrameRecord, RunStats], None]
"""Called after each frame with the frame, its detections, its record and the statistics so far."""
