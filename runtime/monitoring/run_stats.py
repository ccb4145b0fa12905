"""What a run did so far: the counts that the screen, a live view and the end of the run show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..errors import RunFailure
from ..timing import StageClock


@dataclass
class RunStats:
    """What a run did; it may be read from any thread while the run goes on.

    Attributes:
        frames, bad_pictures, detections, events: counts.
        dropped: frames that were replaced by newer ones before they were looked at (``latest``).
        gated: frames that brought nothing new and share the result of the last that did.
        views: inferences of the detector: one a new frame, and one a tile.
        reopened: how often a camera was lost and came back.
        hung: frames given up because an inference did not come back.
        classes: ended events by class name.
        seconds: wall time of the loop.
        last: when the last frame was done, in seconds of `time.monotonic`; 0 before the first.
        clock: the time spent in each stage.
        peak_memory_mib: of the process, at the end.
        stopped: whether it was ended from outside before the source was.
        failure: what ended it, if it could not go on; None otherwise.
    """

    frames: int = 0
    bad_pictures: int = 0
    detections: int = 0
    events: int = 0
    dropped: int = 0
    gated: int = 0
    views: int = 0
    hung: int = 0
    reopened: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    last: float = 0.0
    clock: StageClock = field(default_factory=StageClock)
    peak_memory_mib: float = 0.0
    stopped: bool = False
    failure: RunFailure | None = None

    @property
    def stages(self) -> dict[str, dict[str, float]]:
        """The stage timings of this moment, see `timing.StageClock.table`."""
        return self.clock.table()
