"""Statistics of a run for the terminal, the live view and the final summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..errors import RunFailure
from ..timing import StageClock


@dataclass(eq=False)
class RunStats:
    """Counts and timings of a run; may be read from any thread during the run.

    Attributes:
        frames, bad_pictures, detections, events: counts.
        dropped: frames of a live source that were replaced by newer ones before they were processed.
        gated: frames without change that share the result of an earlier one.
        views: inferences of the detector: one for each new frame, and one for each tile.
        reopened: number of times a camera was lost and reopened.
        hung: frames that were abandoned because an inference did not return.
        classes: ended events by the name of their object, or else by class name.
        catalogued: names of catalogued objects that are among the displayed names.
        not_galaxies: names of catalogued objects that are no galaxies, with their kind.
        seconds: wall time of the loop.
        clock: time spent in each stage.
        peak_memory_mib: of the process, at the end.
        stopped: whether it was stopped before the source ended.
        failure: why it could not continue; None otherwise.
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
    catalogued: set[str] = field(default_factory=set)
    not_galaxies: set[str] = field(default_factory=set)
    seconds: float = 0.0
    clock: StageClock = field(default_factory=StageClock)
    peak_memory_mib: float = 0.0
    stopped: bool = False
    failure: RunFailure | None = None

    @property
    def stages(self) -> dict[str, dict[str, float]]:
        """Current stage timings, see `timing.StageClock.table`."""
        return self.clock.table()
