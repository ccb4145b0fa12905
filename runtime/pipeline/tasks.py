"""What travels through the pipeline: a frame's task, a stage, the callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..frame import Detections, Frame
from ..imaging.sky_motion import IDENTITY
from ..inference.detector import ModelInput
from ..inference.engine import RawTensor as RawOutput
from ..monitoring.run_stats import RunStats
from ..timing import Stopwatch


@dataclass
class FrameTask:
    """A frame on its way, and what each stage made of it; `searched` is false where the run is paused."""

    frame: Frame
    watch: Stopwatch = field(default_factory=Stopwatch)
    sky: np.ndarray = field(default_factory=lambda: IDENTITY)
    sky_seen: bool = True
    searched: bool = True
    new: bool = True
    views: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), int))
    fitted: list[ModelInput] = field(default_factory=list)
    raw: list[dict[str, RawOutput]] = field(default_factory=list)
    named: Detections = field(default_factory=Detections.empty)


class Stage(NamedTuple):
    """One stage: what it does to a frame's work, and how to get over an inference in it that hangs."""

    do: Callable[[FrameTask], None]
    reload_engine: Callable[[], None] | None = None


FrameCallback = Callable[[Frame, Detections, dict[str, Any], RunStats], None]
